"""One thin module per stage of dvc.yaml: load parameters, call one function, write outs."""
