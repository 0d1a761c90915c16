"""One thin module per stage of dvc.yaml: load parameters, call one function, write outs. `ingest` is no stage: a flow calls it."""
