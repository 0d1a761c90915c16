"""Draws the landmarks on frames: component lines, points with sub-pixel places, and what state the faces are in."""

from collections.abc import Sequence

import cv2
import numpy as np

from strrn.core.landmarks import LandmarkScheme
from strrn.runtime.loop import FaceState, State

# RGB. Green: certain; amber: uncertain; red: none.
STATE_COLOURS = {
    State.tracking: (70, 220, 120),
    State.uncertain: (255, 180, 40),
    State.lost: (240, 80, 70),
    State.searching: (240, 80, 70),
}
STATE_TEXTS = {State.tracking: "tracking", State.uncertain: "uncertain", State.lost: "face lost", State.searching: "no face yet"}
DARK, LIGHT = (15, 15, 15), (255, 255, 255)
MANY, MANY_SHARE, FEW_SHARE = 20, 120, 40  # points are drawn smaller where there are many; shares of their extent
SHIFT = 4  # cv2 draws at 1/16 of a pixel
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(frame: np.ndarray, faces: Sequence[FaceState], scheme: LandmarkScheme, note: str = "") -> np.ndarray:
    """A copy of the frame (H, W, 3) uint8 RGB with the faces on it, of several with their ids. note: a short text behind the state (time).

    Sizes follow the face for points and lines and the frame for the label, so that 360p and 1080p look alike.
    """
    shown = [face for face in faces if face.has_points]
    picture = draw_faces(frame, shown, scheme)
    if len(shown) > 1:
        for face in shown:
            _draw_id(picture, face)
    doubtful = [face for face in shown if face.state is State.uncertain]
    state = (doubtful or shown or list(faces))[0].state
    text = f"{len(shown)} faces" + f", {len(doubtful)} uncertain" * bool(doubtful) if len(shown) > 1 else STATE_TEXTS[state]
    _draw_label(picture, " ".join(filter(None, [text, note])), STATE_COLOURS[state])
    return picture


def draw_faces(frame: np.ndarray, faces: Sequence[FaceState], scheme: LandmarkScheme) -> np.ndarray:
    """A copy of the frame (H, W, 3) uint8 RGB with the points of faces that have them, and nothing else."""
    picture = frame.copy()
    for face in faces:
        _draw_points(picture, face.points_frame, scheme, STATE_COLOURS[face.state])
    return picture


def _draw_id(picture: np.ndarray, face: FaceState) -> None:
    scale = max(picture.shape[0] / 720, 0.45)
    limit = 4 * max(picture.shape)
    x, y = np.clip(face.box[:2], -limit, limit).round().astype(int).tolist()
    for colour, thickness in ((DARK, 3), (STATE_COLOURS[face.state], 1)):
        cv2.putText(picture, str(face.face_id), (x, y - 4), FONT, scale, colour, max(1, round(scale * thickness)), cv2.LINE_AA)


def _draw_points(picture: np.ndarray, points_frame: np.ndarray, scheme: LandmarkScheme, colour: tuple[int, int, int]) -> None:
    height, width = picture.shape[:2]
    size = np.ptp(points_frame, 0).max() / (MANY_SHARE if scheme.num_landmarks > MANY else FEW_SHARE)
    radius = float(np.clip(size, max(0.9, height / 900), max(5.0, height / 300)))
    margin = int(np.ceil(2 * radius)) + 2
    x0, y0 = np.clip(np.floor(points_frame.min(0)).astype(int) - margin, 0, (width, height))
    x1, y1 = np.clip(np.ceil(points_frame.max(0)).astype(int) + margin + 1, 0, (width, height))
    if x0 >= x1 or y0 >= y1:
        return
    # cv2's circles of one or two pixels are diamonds: small faces are drawn enlarged, and shrunk again. Nearest, then area: where
    # nothing is drawn the picture stays as it is.
    zoom = int(np.ceil(5 / radius))
    region = picture[y0:y1, x0:x1]
    large = cv2.resize(region, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
    # Points far outside (a face that leaves) would overflow cv2's fixed-point integers.
    places = (np.clip(points_frame, -4 * width, 4 * width) - (x0, y0) + 0.5) * zoom - 0.5
    fixed = np.round(places * 2**SHIFT).astype(int).tolist()
    radius *= zoom
    lines = large.copy()
    for first, second in scheme.edges:
        cv2.line(lines, fixed[first], fixed[second], colour, max(1, round(0.7 * radius)), cv2.LINE_AA, SHIFT)
    large = cv2.addWeighted(lines, 0.6, large, 0.4, 0)
    for place in fixed:
        cv2.circle(large, place, round(1.25 * radius * 2**SHIFT), DARK, cv2.FILLED, cv2.LINE_AA, SHIFT)
        cv2.circle(large, place, round(radius * 2**SHIFT), LIGHT, cv2.FILLED, cv2.LINE_AA, SHIFT)
    region[:] = cv2.resize(large, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)


def _draw_label(picture: np.ndarray, text: str, colour: tuple[int, int, int]) -> None:
    """State and note in the upper left corner, on a dark ground that is seen on any picture."""
    scale = max(picture.shape[0] / 720, 0.45)
    thickness = max(1, round(scale * 1.5))
    (width, height), _ = cv2.getTextSize(text, FONT, scale, thickness)
    margin = round(14 * scale)
    x, y = margin * 3, margin * 2
    corner = (min(x + width + margin, picture.shape[1]), min(y + height + margin, picture.shape[0]))
    ground = picture[margin : corner[1], margin : corner[0]]
    ground[:] = (ground * 0.35).astype(np.uint8)
    dot = (2 * margin, y + height // 2)
    cv2.circle(picture, dot, max(4, round(6 * scale)), colour, cv2.FILLED, cv2.LINE_AA)
    cv2.putText(picture, text, (x, y + height), FONT, scale, LIGHT, thickness, cv2.LINE_AA)
