"""STRRN: stable face-landmark trackers from few labels and much unlabelled video.

The folder is the layer: `core` (schemes, geometry, tables, video, metrics), `data` (sources, crops, datasets), `render` (synthetic
faces), `models` (networks), `methods` (the papers' algorithms), `training`, `evaluation`, `runtime` (the deployed tracker),
`stages` (one thin module per DVC stage), `cli` (the `strrn` command).
"""
