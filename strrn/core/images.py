"""Pictures: encoded, as arrays of pixels (always RGB), and with points drawn on them."""

from collections.abc import Sequence

import cv2
import numpy as np

Colour = tuple[int, int, int]  # RGB
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
SUBPIXEL = 4  # bits of OpenCV's fixed-point drawing coordinates


def decode_image(content: bytes, name: str = "") -> np.ndarray:
    """A file of IMAGE_SUFFIXES -> (H, W, 3) uint8 RGB. Raises ValueError naming the picture where it cannot be decoded."""
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if image is None:
        raise ValueError(f"picture {name} ({len(content)} bytes) cannot be decoded: make or copy it again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """(H, W, 3) uint8 RGB -> JPEG."""
    done, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"cannot encode a picture of shape {image.shape}")
    return content.tobytes()


def as_rgb(image: np.ndarray, channels: str = "rgb") -> np.ndarray:
    """A picture as the tracker takes it, contiguous (H, W, 3) uint8 RGB; not copied where it is that already.

    image: (H, W) or (H, W, 1) grey, (H, W, 3), or (H, W, 4) with transparency, which is dropped; uint8, or uint16 (the upper eight bits
    count). channels: rgb or bgr, the order of the first three. Raises ValueError for anything else.
    """
    if channels not in ("rgb", "bgr"):
        raise ValueError(f"channels: found {channels!r}, expected rgb or bgr")
    image = np.asarray(image)
    shape = image.shape
    if len(shape) not in (2, 3) or 0 in shape or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise ValueError(f"expected a picture (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), found {shape}")
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected pixels of uint8 or uint16, found {image.dtype}: scale a picture of floats to 0..255 and convert it")
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if len(shape) == 2 or shape[2] == 1:
        return np.repeat(image.reshape(*shape[:2], 1), 3, 2)
    return np.ascontiguousarray(image[..., :3] if channels == "rgb" else image[..., 2::-1])


def reduce_image(image: np.ndarray, stride: int) -> np.ndarray:
    """Means of blocks of stride x stride pixels of a crop: (S, S, 3) uint8 -> (S // stride, S // stride, 3); a rest is cut off."""
    if stride == 1:
        return image
    side = image.shape[0] // stride
    return cv2.resize(image[: side * stride, : side * stride], (side, side), interpolation=cv2.INTER_AREA)


def draw_points(
    image: np.ndarray, points: np.ndarray, edges: Sequence[tuple[int, int]], line: Colour, colours: Colour | Sequence[Colour]
) -> None:
    """Draw points (L, 2) and the edges between them into the RGB image, in place; what is NaN is left out.

    colours: of the points, one for all or one each.
    """
    fixed = np.round(np.nan_to_num(points) * (1 << SUBPIXEL)).astype(int)
    finite = np.isfinite(points).all(-1)
    radius = max(1.0, image.shape[1] / 240)
    for first, second in edges:
        if finite[first] and finite[second]:
            cv2.line(image, fixed[first].tolist(), fixed[second].tolist(), line, 1, cv2.LINE_AA, SUBPIXEL)
    for number in np.flatnonzero(finite):
        colour = colours if isinstance(colours[0], int) else colours[number]
        cv2.circle(image, fixed[number].tolist(), round(radius * (1 << SUBPIXEL)), colour, -1, cv2.LINE_AA, SUBPIXEL)
