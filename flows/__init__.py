"""Prefect flows: when and where the pipeline runs. They call the command lines of DVC and of
strrn, and import no torch, and of strrn the core alone.

train: the stages of dvc.yaml, one task each
annotate: landmarks for a folder of videos, one task a video
ingest: new videos, checked and added, and a round that learns from them
rounds: a new round in params.yaml, whose comments stay
page: the state of the project in one HTML file, of what `state` reads from git, DVC and reports/ (no flow)
charts: its bars
cluster: a command here, or on a worker of a Dask cluster
compare: experiments of a file or a grid through `dvc exp run`, a task each; a table of what came out, and the best
release: versions of the models and pseudo-labels that are better than the last
experiments: what a file of experiments/ or a grid asks for, and what DVC has of it
tables: a paper's tables as such files, and the paper's numbers beside ours
figures: what a release is judged by, and the rule
process_group: a command whose whole process group ends with the flow
checkout: one flow at a time in a checkout
commands: what git and other short commands print
graph: the stages of dvc.yaml in the order in which they have to run
"""
