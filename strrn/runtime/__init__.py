"""The deployed tracker: onnxruntime sessions, the tracking loop, overlays. Imports only `core`."""
