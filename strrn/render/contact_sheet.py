"""A page of random stills with their points, to look at."""

from pathlib import Path

import cv2
import numpy as np

from strrn.core.images import decode_image, draw_points
from strrn.core.landmarks import LandmarkScheme
from strrn.core.tables import read_table

SEEN, HIDDEN, LINE = (40, 230, 60), (240, 60, 40), (250, 210, 60)
FILL = 1.9  # side of a cell in landmark boxes


def contact_sheet(stills: Path, scheme: LandmarkScheme, count: int, columns: int, cell: int, seed: int) -> np.ndarray:
    """(rows * cell, columns * cell, 3) uint8 RGB: `count` random rows of a stills table, cut around the face, green = visible points.

    Raises ValueError where the table has fewer rows.
    """
    table = read_table(stills)
    total = len(table["image"])
    if count > total:
        raise ValueError(f"{stills} holds {total} stills, {count} were asked for")
    chosen = np.sort(np.random.default_rng(seed).choice(total, count, replace=False))
    cells = [draw_still(table["image"][row], table["points_frame"][row], table["visible"][row], scheme, cell) for row in chosen]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
    return np.concatenate([np.concatenate(cells[start : start + columns], 1) for start in range(0, len(cells), columns)], 0)


def draw_still(image: bytes, points: np.ndarray, visible: np.ndarray, scheme: LandmarkScheme, cell: int) -> np.ndarray:
    """(cell, cell, 3) uint8 RGB: one still around its face, with lines and points."""
    low, high = points.min(0), points.max(0)
    scale = cell / (FILL * (high - low).max())
    shift = (cell - 1) / 2 - scale * (low + high) / 2
    view = cv2.warpAffine(decode_image(image), np.float64([[scale, 0, shift[0]], [0, scale, shift[1]]]), (cell, cell))
    draw_points(view, points * scale + shift, scheme.edges, LINE, [SEEN if seen else HIDDEN for seen in visible])
    return view
