"""A drawing of a scheme: which number is where, for those who label and for those who read tables of landmarks."""

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from strrn.core.files import write_text
from strrn.core.landmarks import LandmarkScheme

WIDTH, MARGIN, FONT = 900.0, 46.0, 15.0  # pixels
AWAY = 15.0  # of a number from its landmark


def write_landmark_map(path: Path, scheme: LandmarkScheme, shape: np.ndarray, overwrite: bool = False) -> None:
    """`landmark_map` into a file. Raises ValueError where it does not end in .svg, FileExistsError where it is there."""
    if path.suffix.lower() != ".svg":
        raise ValueError(f"{path}: the picture is an SVG, so its name must end in .svg")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already: give --overwrite, or another name")
    write_text(path, landmark_map(scheme, shape))


def landmark_map(scheme: LandmarkScheme, shape: np.ndarray) -> str:
    """An SVG of the landmarks `shape` (L, 2) with their numbers and lines; a pointer on a landmark shows its name."""
    points = shape - shape.min(0)
    points = points * (WIDTH - 2 * MARGIN) / max(float(points[:, 0].max()), 1e-6) + MARGIN
    height = points[:, 1].max() + MARGIN
    lines = [f'<path d="M{points[a, 0]:.1f} {points[a, 1]:.1f}L{points[b, 0]:.1f} {points[b, 1]:.1f}"/>' for a, b in scheme.edges]
    dots = [
        f'<g><title>{number} {escape(name)}</title><circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        f'<text x="{text_x:.1f}" y="{text_y + 0.35 * FONT:.1f}">{number}</text></g>'
        for number, (name, (x, y), (text_x, text_y)) in enumerate(zip(scheme.names, points, _free_places(scheme, points), strict=True))
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height:.0f}" font-family="sans-serif" font-size="{FONT:.0f}" '
        'text-anchor="middle" fill="#1b2733">'
    )
    paper = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return "\n".join([head, paper, '<g stroke="#b8c2cc" stroke-width="1.5">', *lines, "</g>", *dots, "</svg>"]) + "\n"


def _free_places(scheme: LandmarkScheme, points: np.ndarray) -> np.ndarray:
    """(L, 2): for each number, of the places around its landmark the one farthest from lines, landmarks and the numbers placed before."""
    ends = points[np.array(scheme.edges, int).reshape(-1, 2)]  # (E, 2, 2)
    along = np.linspace(0, 1, 20)[:, None, None]
    taken = np.concatenate([points, (ends[:, 0] + along * (ends[:, 1] - ends[:, 0])).reshape(-1, 2)])
    angles = np.arange(16) * np.pi / 8
    around = AWAY * np.stack([np.cos(angles), np.sin(angles)], 1)
    for point in points:
        free = np.linalg.norm((point + around)[:, None] - taken, axis=-1).min(1)  # at most AWAY, the landmark's own distance
        taken = np.concatenate([taken, [point + around[free.round(3).argmax()]]])
    return taken[-len(points) :]
