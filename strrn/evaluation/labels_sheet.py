"""A sheet of labelled crops to look at before anything is trained: is every landmark where it belongs, and in its order?"""

from pathlib import Path

import cv2
import numpy as np

from strrn.core.images import decode_image, draw_points
from strrn.core.landmarks import LandmarkScheme
from strrn.core.tables import read_table, still_crops_schema

COLUMNS = 6
PICTURE = 300  # side of a shown crop in pixels
CAPTION = 24
NUMBERED = 20  # landmarks: of a scheme with more, the numbers would cover the face
FONT = cv2.FONT_HERSHEY_SIMPLEX
# RGB
LABEL, LINE, TEXT, GROUND = (120, 255, 110), (90, 170, 255), (225, 228, 232), (24, 26, 30)


def labels_sheet(stills: Path, scheme: LandmarkScheme, source: str | None, count: int, seed: int = 0) -> tuple[np.ndarray, dict[str, int]]:
    """((H, W, 3) uint8 RGB with `count` random crops, or all, of a table of labelled crops; how many crops each source has).

    source: of which to take them; None: those that are not rendered, if there are any. Raises ValueError for a source that has none.
    """
    table = read_table(stills, still_crops_schema(scheme.num_landmarks))
    sources = table["source"]
    counts = {str(name): int(number) for name, number in zip(*np.unique(sources, return_counts=True), strict=True)}
    given = [name for name in counts if name == source] if source else [name for name in counts if name != "rendered"] or list(counts)
    rows = np.flatnonzero(np.isin(sources, given))
    if not len(rows):
        raise ValueError(f"{stills} has no labels of source {source!r}; it has {counts}")
    rows = np.sort(np.random.default_rng(seed).choice(rows, min(count, len(rows)), replace=False))
    cells = [_draw(table["image"][row], table["points_crop"][row], table["valid"][row], table["image_id"][row], scheme) for row in rows]
    columns = min(COLUMNS, len(cells))
    cells += [np.full_like(cells[0], GROUND)] * (-len(cells) % columns)
    return np.concatenate([np.concatenate(cells[start : start + columns], 1) for start in range(0, len(cells), columns)]), counts


def _draw(image: bytes, points: np.ndarray, valid: np.ndarray, name: str, scheme: LandmarkScheme) -> np.ndarray:
    crop = decode_image(image, name)
    scale = PICTURE / crop.shape[1]
    picture = cv2.resize(crop, (PICTURE, PICTURE), interpolation=cv2.INTER_AREA)
    places = np.where(np.asarray(valid, bool)[:, None], (np.asarray(points) + 0.5) * scale - 0.5, np.nan)
    draw_points(picture, places, scheme.edges, LINE, LABEL)
    if scheme.num_landmarks <= NUMBERED:
        for number in np.flatnonzero(np.isfinite(places).all(1)):
            x, y = places[number].round().astype(int).tolist()
            cv2.putText(picture, str(number), (x + 4, y - 4), FONT, 0.45, LABEL, 1, cv2.LINE_AA)
    cell = np.full((PICTURE + CAPTION, PICTURE, 3), GROUND, np.uint8)
    cell[:PICTURE] = picture
    (width, _), _ = cv2.getTextSize(name, FONT, 0.45, 1)
    cv2.putText(cell, name, (4, PICTURE + 16), FONT, 0.45 * min(1.0, (PICTURE - 8) / width), TEXT, 1, cv2.LINE_AA)
    return cell
