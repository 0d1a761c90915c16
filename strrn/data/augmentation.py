"""Random views of a crop: similarity, mirror, light, blur, noise, and things in front of the face."""

from dataclasses import dataclass

import cv2
import numpy as np

from strrn.core.images import reduce_image
from strrn.core.landmarks import LandmarkScheme


@dataclass(frozen=True)
class AugmentationParameters:
    """Standard deviations of the random similarity (rotation in degrees, scale as a logarithm, shift in crop sides), and strengths.

    gain: standard deviation of the logarithm of brightness and contrast; blur, motion: largest radius in crop pixels; noise: largest
    standard deviation of a crop pixel in grey levels; low_resolution: smallest share of the resolution kept; occlusion: largest side in
    crop sides.
    The effects below `flip` are each applied with probability `probability`.
    """

    rotation: float
    scale: float
    shift: float
    flip: bool
    probability: float
    gain: float
    blur: float
    motion: int
    noise: float
    low_resolution: float
    occlusion: float

    def __post_init__(self) -> None:
        for name in ("rotation", "scale", "shift", "gain", "blur", "motion", "noise", "occlusion"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
        for name in ("probability", "low_resolution"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], found {getattr(self, name)}")


def random_similarity(size: int, parameters: AugmentationParameters, random: np.random.Generator) -> np.ndarray:
    """(2, 3) matrix of a random similarity about the middle of a crop of `size` pixels."""
    angle = np.deg2rad(np.clip(random.normal(), -2.5, 2.5) * parameters.rotation)
    scale = np.exp(np.clip(random.normal(), -2.5, 2.5) * parameters.scale)
    shift = np.clip(random.normal(size=2), -2.5, 2.5) * parameters.shift * size
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    middle = (size - 1) / 2
    linear = np.array([[a, -b], [b, a]])
    return np.column_stack([linear, middle + shift - linear @ (middle, middle)])


def random_view(size: int, parameters: AugmentationParameters, random: np.random.Generator) -> tuple[np.ndarray, bool]:
    """(2, 3) matrix from a crop of `size` pixels to a random view of it, and whether the view is mirrored (the matrix mirrors then)."""
    matrix = random_similarity(size, parameters, random)
    mirrored = bool(parameters.flip and random.random() < 0.5)
    if mirrored:
        # Mirror first: x -> S - 1 - x, and every landmark becomes its partner.
        matrix = matrix @ np.array([[-1.0, 0.0, size - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return matrix, mirrored


def view_of(image: np.ndarray, matrix: np.ndarray, stride: int) -> np.ndarray:
    """The crop (S, S, 3) as `matrix` (2, 3) moves it, crop pixels to crop pixels, reduced: (S // stride, S // stride, 3)."""
    # Moved and halved in one: a bilinear sample in the middle of 2 x 2 pixels is their mean. What is left of the stride comes first.
    # Pixel u of an image reduced by s lies at s * u + (s - 1) / 2 of the crop.
    before = max(1, stride // 2)
    middle, middle_before = (stride - 1) / 2, (before - 1) / 2
    linear, shift = matrix[:, :2] * before / stride, (matrix[:, :2].sum(1) * middle_before + matrix[:, 2] - middle) / stride
    side = image.shape[0] // stride
    return cv2.warpAffine(reduce_image(image, before), np.column_stack([linear, shift]), (side, side), flags=cv2.INTER_LINEAR)


def augment(
    image: np.ndarray,
    points: np.ndarray,
    valid: np.ndarray,
    scheme: LandmarkScheme,
    parameters: AugmentationParameters,
    random: np.random.Generator,
    stride: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A random view of image (S, S, 3) uint8 with points_crop (L, 2) and valid (L,); inputs stay unchanged.

    The view is reduced by `stride`: (S // stride, S // stride, 3). Points stay in crop pixels.
    """
    matrix, mirrored = random_view(image.shape[0], parameters, random)
    if mirrored:
        order = list(scheme.mirror)
        points, valid = points[order], valid[order]
    points = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return photometric(view_of(image, matrix, stride), parameters, random, stride), points, valid.copy()


def photometric(image: np.ndarray, parameters: AugmentationParameters, random: np.random.Generator, stride: int = 1) -> np.ndarray:
    """Occlusion, blur, motion blur, loss of resolution, light and noise, in the order in which they happen to a photograph.

    stride: crop pixels per pixel of image.
    """

    def happens(strength: float) -> bool:
        return random.random() < parameters.probability and strength > 0

    size = image.shape[0]
    if happens(parameters.occlusion):
        width, height = (random.uniform(0.05, 1.0, 2) * parameters.occlusion * size).astype(int) + 1
        x, y = (random.uniform(-0.1, 1.0, 2) * size).astype(int)
        colour = random.integers(0, 256, 3)
        image[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = colour
    if happens(parameters.blur):
        image = cv2.GaussianBlur(image, (0, 0), random.uniform(min(0.3, parameters.blur), parameters.blur) / stride)
    if happens(parameters.motion):
        length = (
            max(3, round(random.uniform(min(2, parameters.motion), parameters.motion) / stride)) | 1
        )  # odd: the blur has its middle in a pixel
        kernel = np.zeros((length, length), np.float32)
        angle = random.uniform(0, np.pi)
        middle, reach = (length - 1) / 2, np.array([np.cos(angle), np.sin(angle)]) * length / 2
        ends = [tuple(round(float(v)) for v in middle + sign * reach) for sign in (-1, 1)]
        cv2.line(kernel, *ends, 1.0)
        image = cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1e-6))
    if happens(1 - parameters.low_resolution):
        small = max(8, int(size * stride * random.uniform(parameters.low_resolution, 1.0)))
        if small < size:
            image = cv2.resize(cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA), (size, size))
    if happens(parameters.gain):
        contrast = np.exp(random.normal() * parameters.gain)
        colour = np.exp(random.normal() * parameters.gain + random.normal(size=3) * parameters.gain / 4)
        gamma = np.exp(random.normal() * parameters.gain)
        levels = np.linspace(0, 1, 256)[:, None]
        levels = ((levels**gamma) * colour - 0.5) * contrast + 0.5
        table = np.clip(levels * 255, 0, 255).astype(np.uint8)
        image = cv2.LUT(image, table[:, None, :])
        if random.random() < 0.1:
            image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, -1)
    if happens(parameters.noise):
        # Normal numbers once a channel would take longer than all else: a field of half the size is mirrored into the quarters.
        half = random.standard_normal(((size + 1) // 2, (size + 1) // 2, 3), np.float32)
        half *= random.uniform(1.0, max(1.0, parameters.noise)) / stride
        field = np.concatenate([half, -half[::-1]])[:size]
        field = np.concatenate([field, field[:, ::-1]], 1)[:, :size]
        image = cv2.add(image, field.astype(np.int16), dtype=cv2.CV_8U)
    return image
