"""Prefect flows: when and where the pipeline runs. They call DVC's command line and import no torch.

train: the stages of dvc.yaml, one task each
process_group: a command whose whole process group ends with the flow
graph: the stages of dvc.yaml in the order in which they have to run
"""
