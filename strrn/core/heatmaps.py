"""Heatmaps of a landmark model: where their peaks are, and what lies about them.

Heatmaps are (N, L, h, w); points_heatmap are in their cells, integer = middle of a cell.
"""

import numpy as np


def decode(heatmaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heatmaps (N, L, h, w) -> points_heatmap (N, L, 2), peak (N, L): the highest cell, and the vertex of the parabola through the
    logarithms of it and its neighbours, which is exact for a Gaussian. Raises ValueError for maps of less than 3 x 3 cells."""
    count, landmarks, height, width = heatmaps.shape
    if height < 3 or width < 3:
        raise ValueError(f"heatmaps of {height} x {width} cells: expected at least 3 x 3")
    flat = heatmaps.reshape(count, landmarks, -1)
    index = flat.argmax(-1)
    peak = np.take_along_axis(flat, index[..., None], -1)[..., 0]
    row, column = np.clip(index // width, 1, height - 2), np.clip(index % width, 1, width - 2)
    n, m = np.ogrid[:count, :landmarks]

    def vertex(values: list[np.ndarray]) -> np.ndarray:
        before, middle, after = (np.log(np.maximum(value, 1e-4)) for value in values)
        return np.clip(0.5 * (after - before) / np.maximum(2 * middle - after - before, 1e-3), -1.0, 1.0)

    x = column + vertex([heatmaps[n, m, row, column + step] for step in (-1, 0, 1)])
    y = row + vertex([heatmaps[n, m, row + step, column] for step in (-1, 0, 1)])
    return np.stack([x, y], -1).astype(np.float32), peak.astype(np.float32)


def patches_around(heatmaps: np.ndarray, points_heatmap: np.ndarray, spacing: float, side: int) -> np.ndarray:
    """(N, L, side, side) float32: heatmaps around their points at samples `spacing` cells apart, bilinear, 0 outside of the map. Each is
    divided by its heatmap's peak, and what is negative is 0."""
    height, width = heatmaps.shape[-2:]
    peak = np.maximum(heatmaps.max((-2, -1), keepdims=True), 1e-6)
    padded = np.pad(np.maximum(heatmaps, 0) / peak, ((0, 0), (0, 0), (1, 1), (1, 1)))
    offsets = (np.arange(side) - (side - 1) / 2) * spacing
    x = np.clip(points_heatmap[..., None, 0] + offsets, -1, width) + 1
    y = np.clip(points_heatmap[..., None, 1] + offsets, -1, height) + 1
    left, top = np.minimum(x.astype(int), width), np.minimum(y.astype(int), height)
    across, down = (x - left)[..., None, :], (y - top)[..., :, None]
    n, m = np.ogrid[: len(heatmaps), : heatmaps.shape[1]]

    def at(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return padded[n[..., None, None], m[..., None, None], rows[..., :, None], columns[..., None, :]]

    upper = (1 - across) * at(top, left) + across * at(top, left + 1)
    lower = (1 - across) * at(top + 1, left) + across * at(top + 1, left + 1)
    return ((1 - down) * upper + down * lower).astype(np.float32)
