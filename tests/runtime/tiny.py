"""A pair of real ONNX models that follow a bright square, and videos of one: every answer is known."""

from functools import cache
from pathlib import Path
from shutil import copytree
from tempfile import mkdtemp

import numpy as np
import torch
from torch import Tensor, nn

from strrn.core.landmarks import LandmarkScheme, scheme_to_dict
from strrn.core.video import VideoWriter
from strrn.models.brf import Refiner
from strrn.models.export import export_detector, export_refiner, export_tracker
from strrn.runtime.parameters import Mode, RuntimeParameters, parameters_to_dict

SIZE = 315
# Eyes, nose and corners of the mouth; their mean is the crop's centre.
REFERENCE = np.array([[107, 117], [207, 117], [157, 157], [123, 197], [191, 197]], np.float32)
SQUARE = 40  # side in pixels of the frame
SCALE = 2.0  # crop pixels per pixel of the frame
SCHEME = LandmarkScheme(
    name="five",
    names=("left_eye", "right_eye", "nose", "left_mouth", "right_mouth"),
    mirror=(1, 0, 2, 4, 3),
    components={"face": (0, 1, 2, 3, 4)},
    edges=((0, 1), (3, 4)),
    root=2,
    normalisers={"inter_pupil": ((0,), (1,))},
    subsets={},
)
PARAMETERS = RuntimeParameters(
    mode=Mode.tracker,
    cycle_every=3,
    max_cycle_error=0.1,
    detector_share=0.0,
    detect_every=1,
    verify_every=3,
    max_disagreement=0.2,
    min_confidence=0.5,
    face_every=3,
    max_shape_distance=0.5,
    max_scale_jump=1.3,
    min_inside=0.7,
    patience=3,
    search_every=1,
    smoothing=0.0,
    steadiness=0.0,
    new_face_every=5,
    remember=10,
    cut_difference=100.0,
)
METADATA = {
    "scheme": scheme_to_dict(SCHEME),
    "reference_shape": REFERENCE.tolist(),
    "face_template": REFERENCE.tolist(),
    "size": SIZE,
    "runtime": parameters_to_dict(PARAMETERS),
    "round": "r2",
    "versions": {"strrn": "0.1.0"},
    "licence": "CC0",
}


class SquareDetector(nn.Module):
    """The reference shape about the centre of mass of what is bright; sure of itself where anything is."""

    stride = 1

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        bright = (images.mean(1) - 0.5).clamp(min=0)  # (B, H, W)
        mass = bright.sum((1, 2)).clamp(min=1e-3)
        cells = torch.arange(images.shape[-1], dtype=torch.float32)
        centre = torch.stack([(bright.sum(1) * cells).sum(-1), (bright.sum(2) * cells).sum(-1)], -1) / mass[:, None]
        points = centre[:, None] + torch.from_numpy(REFERENCE - REFERENCE.mean(0))
        confidence = (mass > 100).float()[:, None].expand(-1, len(REFERENCE)) * 0.9
        return points, confidence


class SquareTracker(nn.Module):
    """The start shape, moved to the centre of mass of what is bright."""

    stride = 1
    appearance_memory = False

    def __init__(self) -> None:
        super().__init__()
        self.detector = SquareDetector()

    def forward(self, images: Tensor, start_points: Tensor, *before: Tensor) -> Tensor:
        points, _ = self.detector(images)
        return start_points - start_points.mean(1, keepdim=True) + points.mean(1, keepdim=True)


@cache
def models_dir() -> Path:
    """A folder with tracker.onnx and detector.onnx, made once in a test run."""
    folder = Path(mkdtemp(prefix="strrn-tiny-"))
    export_detector(SquareDetector(), folder / "detector.onnx", METADATA)
    export_tracker(SquareTracker(), folder / "tracker.onnx", METADATA)
    return folder


def small_head(trained: bool, patches: bool = False) -> Refiner:
    """BRF's head for the five points; trained: with weights that move points by some pixels."""
    torch.manual_seed(0)
    head = Refiner(SCHEME, torch.from_numpy(REFERENCE), channels=3, window=5, cell=0.05, modes=2, hidden_size=8, patches=patches)
    if trained:
        torch.nn.init.normal_(head.answer.weight, std=0.3)
    return head.eval()


@cache
def refined_dir(trained: bool = True) -> Path:
    """The same folder with refiner.onnx beside, made once in a test run."""
    folder = Path(mkdtemp(prefix="strrn-tiny-"))
    copytree(models_dir(), folder, dirs_exist_ok=True)
    export_refiner(small_head(trained), folder / "refiner.onnx", METADATA, None)
    return folder


def centre(frame: int) -> np.ndarray:
    """Where the square is: integer pixels plus a half, since its side is even."""
    return np.array([60.5 + 3 * frame, 100.5 + frame])


def truth(frame: int) -> np.ndarray:
    """points_frame (5, 2)."""
    return (REFERENCE - REFERENCE.mean(0)) / SCALE + centre(frame)


def picture(frame: int, present: bool, height: int = 240, width: int = 320) -> np.ndarray:
    image = np.full((height, width, 3), 30, np.uint8)
    if present:
        x, y = (centre(frame) + 0.5 - SQUARE / 2).astype(int)
        image[y : y + SQUARE, x : x + SQUARE] = 240
    return image


def write_video(path: Path, present: list[bool]) -> Path:
    with VideoWriter(path, fps=25, quality=10) as writer:
        for frame, there in enumerate(present):
            writer.write(picture(frame, there))
    return path


class SquareFaces:
    """In the place of MTCNN: a bright square is a face."""

    def __init__(self, min_face: float = 0.1) -> None: ...

    def __call__(self, image: np.ndarray) -> list:
        from types import SimpleNamespace

        bright = image.mean(-1) > 128
        if bright.sum() < 100:
            return []
        rows, columns = np.nonzero(bright)
        middle = np.array([columns.mean(), rows.mean()])
        five = ((REFERENCE - REFERENCE.mean(0)) * (np.sqrt(bright.sum()) / (SQUARE * SCALE)) + middle).astype(np.float32)
        box = np.concatenate([five.min(0), five.max(0)])
        return [SimpleNamespace(box=box, five_points=five, probability=0.95)]

    def near(self, image: np.ndarray, box: np.ndarray) -> list:
        return SquareFaces.__call__(self, image)

    def confirm(self, image: np.ndarray, five_points: np.ndarray) -> object:
        return next(iter(SquareFaces.__call__(self, image)), None)
