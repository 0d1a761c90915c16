"""Do rendered landmarks lie where annotators of photographs put them?

    python -m benchmarks.landmarks --faces DIR [--sheet sheet.png]        # after `dvc repro crop`

Compares the shapes of data/crops/stills_train.parquet with those of the development half of 300-W in DIR (see benchmarks.photographs),
all aligned by their inner points:

- mean difference of every point in near-frontal faces, per cent of the inter-ocular distance;
- turning: how far landmarks move sideways while the nose tip moves by 1, which tells their depth behind it;
- principal modes: how much of the real shapes' variance the first modes of the rendered shapes hold, beside the real ones' own, and how
  widely rendered shapes spread along the real modes (1 = as widely as real ones).

--sheet: real faces, each above the rendered face of the most similar shape, with their points.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.photographs import NUM_LANDMARKS, halves, open_image
from strrn.core.geometry import fit_similarity, mean_shape
from strrn.core.images import decode_image, draw_points
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.core.tables import read_table, still_crops_schema
from strrn.stages import logs
from strrn.stages.paths import CROPS

INNER, NOSE_TIP = slice(17, None), 30
FRONTAL = 0.06  # the nose tip's distance from the middle of the eyes, share of the inter-ocular distance
MODES = (5, 10, 20)
TURNING = {
    "ear": 0,
    "jaw": 4,
    "chin": 8,
    "brow": 19,
    "nasion": 27,
    "eye corner": 36,
    "mouth corner": 48,
    "upper lip": 51,
    "lower lip": 57,
}
SIZE, CELL, COLUMNS, ROWS = 315, 200, 8, 4


def aligned(shapes: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(N, L, 2) laid on the reference by the inner points, in units of the reference's inter-ocular distance."""
    eyes = np.linalg.norm(reference[36] - reference[45])
    return np.stack([fit_similarity(shape[INNER], reference[INNER], SIZE).to_crop(shape) for shape in shapes]) / eyes


def frontal(shapes: np.ndarray) -> np.ndarray:
    return shapes[np.abs(shapes[:, 30, 0] - (shapes[:, 36, 0] + shapes[:, 45, 0]) / 2) < FRONTAL]


def turning(shapes: np.ndarray, middle: float, mirror: Sequence[int]) -> np.ndarray:
    """(L, 2): how shapes (N, L, 2) about the vertical x = middle change when the head turns, for a nose tip that moves by 1.

    The first principal direction of what is left of a shape when its mirror image is taken off.
    """
    mirrored = shapes[:, list(mirror)] * [-1, 1] + [2 * middle, 0]
    _, _, directions = np.linalg.svd(((shapes - mirrored) / 2).reshape(len(shapes), -1), full_matrices=False)
    mode = directions[0].reshape(-1, 2)
    return mode / mode[NOSE_TIP, 0]


def turning_table(real: np.ndarray, rendered: np.ndarray) -> Table:
    table = Table("", "photographs", "renders", title="sideways, for a nose tip that moves by 1 when the head turns")
    for name, row in TURNING.items():
        table.add_row(name, f"{real[row, 0]:+.2f}", f"{rendered[row, 0]:+.2f}")
    return table


def modes(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal directions (rows) and standard deviations of shapes (N, L, 2)."""
    flat = shapes.reshape(len(shapes), -1)
    _, values, directions = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    return directions, values / np.sqrt(len(shapes))


def held(shapes: np.ndarray, directions: np.ndarray) -> float:
    """Share of the variance of shapes about their own mean that lies in the span of the directions."""
    flat = shapes.reshape(len(shapes), -1)
    flat = flat - flat.mean(0)
    return float(((flat @ directions.T) ** 2).sum() / (flat**2).sum())


def difference_table(real: np.ndarray, rendered: np.ndarray, scheme: LandmarkScheme) -> Table:
    difference = frontal(rendered).mean(0) - frontal(real).mean(0)
    table = Table("component", "mean dx", "mean dy", "largest", "at point", title="rendered minus real, frontal, % of inter-ocular")
    for name, rows in scheme.components.items():
        part = 100 * difference[list(rows)]
        length = np.linalg.norm(part, axis=1)
        worst = int(length.argmax())
        table.add_row(name, *(f"{value:+.1f}" for value in part.mean(0)), f"{length.max():.1f}", str(rows[worst]))
    length = 100 * np.linalg.norm(difference, axis=1)
    table.add_row("all", "", "", f"{length.max():.1f}", f"mean {length.mean():.2f}")
    return table


def modes_table(real: np.ndarray, rendered: np.ndarray) -> Table:
    own, spread = modes(real)
    other, _ = modes(rendered)
    table = Table("modes", "held by the real modes", "by the rendered modes", title="variance of real shapes")
    for count in MODES:
        table.add_row(str(count), f"{held(real, own[:count]):.1%}", f"{held(real, other[:count]):.1%}")
    flat = rendered.reshape(len(rendered), -1)
    along = ((flat - flat.mean(0)) @ own[:10].T).std(0) / spread[:10]
    table.caption = "spread of rendered shapes along the first ten real modes: " + " ".join(f"{value:.2f}" for value in along)
    return table


def sheet(
    path: Path, faces: Sequence, real: np.ndarray, stills: dict, rendered: np.ndarray, reference: np.ndarray, scheme: LandmarkScheme
) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(ROWS):
        chosen = np.sort(rng.choice(len(faces), COLUMNS, replace=False))
        upper, lower = [], []
        for number in chosen:
            transform = fit_similarity(faces[number].points_frame, reference, SIZE)
            upper.append(_drawn(transform.crop(open_image(faces[number])), transform.to_crop(faces[number].points_frame), scheme))
            nearest = int(((rendered - real[number]) ** 2).sum((1, 2)).argmin())
            lower.append(_drawn(decode_image(stills["image"][nearest]), stills["points_crop"][nearest], scheme))
        rows += [np.concatenate(upper, 1), np.concatenate(lower, 1)]
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def _drawn(picture: np.ndarray, points: np.ndarray, scheme: LandmarkScheme) -> np.ndarray:
    scale = CELL / len(picture)
    small = cv2.resize(picture, (CELL, CELL), interpolation=cv2.INTER_AREA)
    draw_points(small, points * scale + (scale - 1) / 2, scheme.edges, (250, 210, 60), [(40, 230, 60)] * len(points))
    return small


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of 300-W: afw/, helen/, lfpw/ with images and .pts")
    parser.add_argument("--sheet", type=Path, help="picture to write: real faces above rendered ones of similar shape")
    options = parser.parse_args(arguments)
    scheme = load_scheme("ibug68")
    faces, _ = halves(options.faces)
    stills = read_table(CROPS / "stills_train.parquet", still_crops_schema(NUM_LANDMARKS))
    real = np.stack([face.points_frame for face in faces])
    reference = mean_shape(real, SIZE, 0.62)
    real, rendered = aligned(real, reference), aligned(stills["points_crop"], reference)
    console = Console()
    console.print(f"{len(real)} real shapes, {len(rendered)} rendered; near frontal: {len(frontal(real))} and {len(frontal(rendered))}")
    console.print(difference_table(real, rendered, scheme))
    middle = reference[[36, 45], 0].mean() / np.linalg.norm(reference[36] - reference[45])
    console.print(turning_table(*(turning(shapes, middle, scheme.mirror) for shapes in (real, rendered))))
    console.print(modes_table(real, rendered))
    if options.sheet:
        sheet(options.sheet, faces, real, stills, rendered, reference, scheme)


if __name__ == "__main__":
    logs.run(main)
