"""Numpy and OpenCV only: landmark schemes, crop geometry, tables, video, face detection, metrics and how they are shown."""
