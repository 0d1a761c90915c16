"""A sheet of mined frames to look at: what was kept as pseudo-label, what was dropped, and why."""

from pathlib import Path

import cv2
import numpy as np

from strrn.core.files import atomic
from strrn.core.geometry import bounding_box
from strrn.core.images import Colour, decode_image, draw_points
from strrn.core.landmarks import LandmarkScheme
from strrn.core.tables import crops_schema, read_table
from strrn.evaluation.pictures import window
from strrn.evaluation.pseudo import ROLES, MinedRound
from strrn.methods.selection import FOLLOWED

COLUMNS = 5
PICTURE = 360  # side of a shown face in pixels
GAP = 14
LINE = 22  # height of a line of text
CAPTION = 3 * LINE + 8
FONT = cv2.FONT_HERSHEY_SIMPLEX
# RGB
GROUND = (24, 26, 30)
TEXT = (225, 228, 232)
LABEL_COLOUR = (120, 255, 110)
DETECTOR_COLOUR = (255, 150, 60)
TRACKER_COLOUR = (90, 170, 255)
DROPPED_COLOUR = (255, 120, 110)
SUFFIXES = (".png", ".jpg")


def choose(mined: MinedRound, chosen: np.ndarray, count: int) -> np.ndarray:
    """Rows of at most `count` of the chosen frames ((N,) bool), from the lowest to the highest loss.

    The frames are sorted by the larger of their losses and cut into `count` equal parts. Every part gives one frame: of the clip that was
    taken least often so far, and of this clip the frame nearest to the part's middle.
    """
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(mined.worst[rows], kind="stable")]
    taken: dict[str, int] = {}
    picked = []
    count = min(count, len(rows))
    for part in np.array_split(rows, count) if count else ():
        middle = (len(part) - 1) / 2
        best = part[min(range(len(part)), key=lambda i: (taken.get(mined.track_ids[part[i]], 0), abs(i - middle)))]
        taken[mined.track_ids[best]] = taken.get(mined.track_ids[best], 0) + 1
        picked.append(best)
    return np.array(picked, int)


def choose_kept_and_dropped(mined: MinedRound, chosen: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of kept and of dropped frames among the chosen ones, `count` together, half of each where there are enough."""
    kept, dropped = chosen & mined.kept, chosen & ~mined.kept
    num_dropped = min(int(dropped.sum()), max(count // 2, count - int(kept.sum())))
    return choose(mined, kept, count - num_dropped), choose(mined, dropped, num_dropped)


def reason_text(mined: MinedRound, row: int) -> str:
    """Why a frame was dropped, and by how much it missed the threshold."""
    reason = mined.reasons[row]
    if "l_det" not in reason and "l_tck" not in reason:
        return reason
    missed = []
    for name, symbol, loss in (("l_det", "L_det", mined.l_det[row]), ("l_tck", "L_tck", mined.l_tck[row])):
        if name in reason:
            # With `gate: landmark` too few landmarks may pass although the loss of the frame lies below T.
            over = loss >= np.float32(mined.threshold)
            missed.append(f"{symbol} {100 * (loss / mined.threshold - 1):.1f} % over T" if over else f"{symbol} of too many landmarks")
    return ", ".join(missed)


def draw_sheet(mined: MinedRound, title: str, kept: np.ndarray, dropped: np.ndarray, crops: Path, scheme: LandmarkScheme) -> np.ndarray:
    """(H, W, 3) uint8 RGB: a section for the rows `kept` and one for the rows `dropped`, each left out where it is empty.

    crops: the folder data/crops. Raises ValueError where there is nothing to show or a crop is missing, FileNotFoundError where a
    track's file is.
    """
    if not len(kept) and not len(dropped):
        raise ValueError("no such frames to show")
    images = _read_crops(mined, np.concatenate([kept, dropped]), crops)
    parts = [_header(title)]
    for heading, rows, colour in (("kept", kept, LABEL_COLOUR), ("dropped", dropped, DROPPED_COLOUR)):
        if len(rows):
            line = _blank(2 * LINE)
            _write(line, f"{heading}, from the lowest to the highest loss", (GAP, LINE + 12), colour, 0.65)
            cells = [draw_frame(mined, row, images[row], scheme) for row in rows]
            parts.append(line)
            for start in range(0, len(cells), COLUMNS):
                strip = _blank(PICTURE + CAPTION + GAP)
                shown = np.concatenate(cells[start : start + COLUMNS], 1)
                strip[:, : shown.shape[1]] = shown
                parts.append(strip)
    return np.concatenate(parts)


def draw_frame(mined: MinedRound, row: int, image: np.ndarray, scheme: LandmarkScheme) -> np.ndarray:
    """(PICTURE + CAPTION + GAP, PICTURE + GAP, 3): the face of a crop with the points of both models and the label, and a caption."""
    view = window(bounding_box(mined.detected[row]), PICTURE)
    picture = view.crop(image)
    draw_points(picture, view.to_crop(mined.detected[row]), scheme.edges, DETECTOR_COLOUR, DETECTOR_COLOUR)
    kept = mined.kept[row]
    if kept:
        draw_points(picture, view.to_crop(mined.tracked(row)), scheme.edges, TRACKER_COLOUR, TRACKER_COLOUR)
        draw_points(picture, view.to_crop(mined.label(row)), (), LABEL_COLOUR, LABEL_COLOUR)
    cell = np.full((PICTURE + CAPTION + GAP, PICTURE + GAP, 3), GROUND, np.uint8)
    cell[:PICTURE, GAP:] = picture
    verdict = f"teaches {' and '.join(role for role in ROLES if mined.teaches[role][row])}" if kept else reason_text(mined, row)
    if mined.reasons[row] == FOLLOWED:
        verdict += ", by its neighbours"
    lines = (
        (f"{mined.track_ids[row]}, frame {mined.frames[row]}", TEXT),
        (f"L_det {mined.l_det[row]:.4f}  L_tck {mined.l_tck[row]:.4f}", TEXT),
        (verdict, LABEL_COLOUR if kept else DROPPED_COLOUR),
    )
    for number, (text, colour) in enumerate(lines, 1):
        _write(cell, text, (GAP, PICTURE + number * LINE), colour, 0.55)
    return cell


def check_name(path: Path) -> None:
    """Raises ValueError where the name does not end like that of a picture."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--out {path}: expected a name that ends in {' or '.join(SUFFIXES)}")


def write_sheet(path: Path, sheet: np.ndarray) -> None:
    """Write an RGB picture as PNG or JPEG, by the name's end, atomically."""
    with atomic(path) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _read_crops(mined: MinedRound, rows: np.ndarray, crops: Path) -> dict[int, np.ndarray]:
    """Row -> its crop, opening every track once."""
    images = {}
    for track_id in dict.fromkeys(mined.track_ids[rows]):
        path = crops / "tracks" / f"{track_id}.parquet"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: `dvc repro crop` makes it, --crops names another folder")
        table = read_table(path, crops_schema())
        at = {frame: number for number, frame in enumerate(table["frame"])}
        for row in rows[mined.track_ids[rows] == track_id]:
            frame = mined.frames[row]
            if frame not in at:
                raise ValueError(f"{path} has no frame {frame}: the round was mined from other crops, `dvc repro` mines it again")
            images[row] = decode_image(table["image"][at[frame]], f"{track_id}, frame {frame}")
    return images


def _header(title: str) -> np.ndarray:
    """The title, and which colour is whose."""
    header = _blank(3 * LINE + 8)
    _write(header, title, (GAP, LINE + 8), TEXT, 0.75)
    x = GAP
    legend = (("label (points)", LABEL_COLOUR), ("detector (lines)", DETECTOR_COLOUR), ("tracker (lines, where known)", TRACKER_COLOUR))
    for text, colour in legend:
        cv2.circle(header, (x + 6, 3 * LINE - 5), 6, colour, cv2.FILLED, cv2.LINE_AA)
        x += 20 + _write(header, text, (x + 20, 3 * LINE), TEXT, 0.55) + 2 * GAP
    return header


def _blank(height: int) -> np.ndarray:
    return np.full((height, COLUMNS * (PICTURE + GAP) + GAP, 3), GROUND, np.uint8)


def _write(image: np.ndarray, text: str, corner: tuple[int, int], colour: Colour, scale: float) -> int:
    """Write text with its lower left corner there, smaller where it would leave the image; returns its width in pixels."""
    (width, _), _ = cv2.getTextSize(text, FONT, scale, 1)
    scale *= min(1.0, (image.shape[1] - corner[0]) / width)
    cv2.putText(image, text, corner, FONT, scale, colour, 1, cv2.LINE_AA)
    return cv2.getTextSize(text, FONT, scale, 1)[0][0]
