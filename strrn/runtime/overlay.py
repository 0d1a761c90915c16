"""Draws the landmarks on frames: component lines, points with sub-pixel places, and what state the face is in."""

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
DARK = (15, 15, 15)
SHIFT = 4  # cv2 draws at 1/16 of a pixel
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(frame: np.ndarray, face: FaceState, scheme: LandmarkScheme, note: str = "") -> np.ndarray:
    """A copy of the frame (H, W, 3) uint8 RGB with the face on it. note: a short text behind the state (time, frame).

    Sizes follow the face for points and lines and the frame for the label, so that 360p and 1080p look alike.
    """
    picture = frame.copy()
    colour = STATE_COLOURS[face.state]
    if face.has_points:
        _draw_points(picture, face.points_frame, scheme, colour)
    _draw_label(picture, " ".join(filter(None, [STATE_TEXTS[face.state], note])), colour)
    return picture


def _draw_points(picture: np.ndarray, points_frame: np.ndarray, scheme: LandmarkScheme, colour: tuple[int, int, int]) -> None:
    face_size = float(np.ptp(points_frame, 0).max())
    radius = float(np.clip(face_size / 110, 1.0, 6.0))
    thickness = max(1, round(radius * 0.7))
    # Far outside points (a face that leaves) would overflow cv2's fixed-point integers.
    limit = 4 * max(picture.shape[:2])
    fixed = np.round(np.clip(points_frame, -limit, limit) * 2**SHIFT).astype(np.int32)
    lines = picture.copy()
    for first, second in scheme.edges:
        cv2.line(lines, fixed[first].tolist(), fixed[second].tolist(), colour, thickness, cv2.LINE_AA, SHIFT)
    cv2.addWeighted(lines, 0.55, picture, 0.45, 0, dst=picture)
    for x, y in fixed.tolist():
        cv2.circle(picture, (x, y), round((radius + 0.8) * 2**SHIFT), DARK, cv2.FILLED, cv2.LINE_AA, SHIFT)
        cv2.circle(picture, (x, y), round(radius * 2**SHIFT), (255, 255, 255), cv2.FILLED, cv2.LINE_AA, SHIFT)


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
    cv2.circle(picture, dot, max(2, round(5 * scale)), colour, cv2.FILLED, cv2.LINE_AA)
    cv2.putText(picture, text, (x, y + height), FONT, scale, (255, 255, 255), thickness, cv2.LINE_AA)
