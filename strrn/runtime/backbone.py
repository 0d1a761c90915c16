"""A landmark model that somebody brings as an ONNX file, as the callable that the tracking loop and the training of BRF's head take.

A YAML file beside it, of the same name, says what it reads and gives (docs/methods/brf.md):

    input: {size: 256, layout: nchw, channels: rgb, type: float32, mean: [0, 0, 0], deviation: [255, 255, 255], fill: 0.62}
    output: {kind: coordinates, unit: pixels, name: null}
    landmarks: null
    licence: CC0
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from strrn.core.files import read_yaml
from strrn.core.heatmaps import decode, patches_around
from strrn.core.images import reduce_image

if TYPE_CHECKING:
    import onnxruntime

LAYOUTS, CHANNELS, TYPES = ("nchw", "nhwc"), ("rgb", "bgr"), ("float32", "uint8")
KINDS, UNITS = ("coordinates", "heatmaps"), ("pixels", "unit", "signed")
UNKNOWN_CONFIDENCE = 0.5  # of coordinates that come without one


@dataclass(frozen=True)
class BackboneContract:
    """What the YAML file says.

    size: side of the square picture that the model reads, pixels. layout: nchw or nhwc. channels: rgb or bgr. type: float32 or uint8. mean,
    deviation: what is taken off the grey levels 0..255, and what they are divided by then (three each; not for uint8). fill: larger side of
    the landmarks' box in that picture, as a share of its side: how tightly the faces were cut that the model was trained on.
    kind: coordinates (N, L, 2) or (N, 2 L), or heatmaps (N, L, h, w). unit of coordinates: pixels of the picture (integer = middle of
    a pixel), unit (0..1 from its left to its right edge), signed (-1..1), or a number N: pixels
    of the picture if it had the side N. name: of the output, None for the first.
    landmarks: of each landmark of the scheme its number in the model's answer, None where they are the same. licence: of the weights.
    """

    size: int
    layout: str
    channels: str
    type: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    fill: float
    kind: str
    unit: str | int
    name: str | None
    landmarks: tuple[int, ...] | None
    licence: str

    def __post_init__(self) -> None:
        for name, known in (("layout", LAYOUTS), ("channels", CHANNELS), ("type", TYPES), ("kind", KINDS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: found {getattr(self, name)!r}, expected one of {known}")
        if self.unit not in UNITS and not (isinstance(self.unit, int) and self.unit > 0):
            raise ValueError(f"unit: found {self.unit!r}, expected one of {UNITS} or the side of a picture")
        if self.size < 8 or not 0 < self.fill <= 1:
            raise ValueError(f"size {self.size} and fill {self.fill}: expected at least 8 pixels, and a share in (0, 1]")
        if len(self.mean) != 3 or len(self.deviation) != 3 or 0 in self.deviation:
            raise ValueError(f"mean {self.mean} and deviation {self.deviation}: expected three numbers each, no deviation 0")


def contract_from_dict(content: Mapping, origin: str) -> BackboneContract:
    """Raises ValueError naming `origin` where something is missing, unknown or out of range."""
    parts = {"input": ("size", "layout", "channels", "type", "mean", "deviation", "fill"), "output": ("kind", "unit", "name")}
    values: dict[str, object] = {}
    for part, names in parts.items():
        section = content.get(part)
        if not isinstance(section, Mapping) or set(section) != set(names):
            raise ValueError(f"{origin}: {part} must have exactly {', '.join(names)}; found {section!r}")
        values |= section
    others = set(content) - set(parts)
    if others != {"landmarks", "licence"}:
        raise ValueError(f"{origin}: expected input, output, landmarks and licence; found {sorted(content)}")
    landmarks = content["landmarks"]
    values["landmarks"] = None if landmarks is None else tuple(map(int, landmarks))
    try:
        values |= {name: tuple(map(float, values[name])) for name in ("mean", "deviation")}
        return BackboneContract(**values, licence=str(content["licence"]))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{origin}: {error}") from error


def contract_to_dict(contract: BackboneContract) -> dict:
    """The mapping that `contract_from_dict` reads back (JSON-safe)."""
    values = asdict(contract)
    return {
        "input": {name: values[name] for name in ("size", "layout", "channels", "type", "mean", "deviation", "fill")},
        "output": {name: values[name] for name in ("kind", "unit", "name")},
        "landmarks": values["landmarks"],
        "licence": values["licence"],
    }


def read_contract(model: Path | str) -> BackboneContract:
    """The contract of `model`.onnx, from the YAML file beside it. Raises FileNotFoundError or ValueError with the cure."""
    path = Path(model).with_suffix(".yaml")
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: write beside {model} what the model reads and gives (docs/methods/brf.md has an example)")
    content = read_yaml(path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: expected input, output, landmarks and licence; found {content!r}")
    return contract_from_dict(content, str(path))


class OnnxBackbone:
    """crops (size, size, 3) uint8 RGB -> points_crop (N, L, 2), confidence (N, L), patches of its heatmaps (N, L, side, side) or None.

    reference_shape (L, 2): in pixels of the crop. unit, side: crop pixels from sample to sample of the patches, and their number.
    Raises ValueError where the model does not give what its contract says.
    """

    def __init__(
        self,
        session: "onnxruntime.InferenceSession",
        contract: BackboneContract,
        reference_shape: np.ndarray,
        crop_size: int,
        unit: float,
        side: int,
    ) -> None:
        self.contract, self.unit, self.side = contract, unit, side
        self._session = session
        outputs = [value.name for value in session.get_outputs()]
        if contract.name is not None and contract.name not in outputs:
            raise ValueError(f"the backbone has no output {contract.name!r}; it has {outputs}")
        self._input, self._output = session.get_inputs()[0].name, contract.name or outputs[0]
        self._takes_batches = not isinstance(session.get_inputs()[0].shape[0], int)
        self._count = len(reference_shape)
        low, high = reference_shape.min(0), reference_shape.max(0)
        # Pixel u of the model's picture is (u - shift) / scale of the crop; the landmarks' box has its middle in the middle of the picture.
        self._scale = contract.fill * contract.size / float((high - low).max())
        self._shift = (contract.size - 1) / 2 - self._scale * (low + high) / 2
        self._crop_size = crop_size

    @property
    def has_patches(self) -> bool:
        return self.contract.kind == "heatmaps"

    def __call__(self, crops: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        pictures = np.stack([self._picture(crop) for crop in crops])
        batches = [pictures] if self._takes_batches else [pictures[n : n + 1] for n in range(len(pictures))]
        answer = np.concatenate([self._session.run([self._output], {self._input: batch})[0] for batch in batches])
        return self._from_heatmaps(answer) if self.has_patches else self._from_coordinates(answer)

    def _picture(self, crop: np.ndarray) -> np.ndarray:
        """The picture that the model reads, of a crop that may have been reduced."""
        contract, reduced = self.contract, round(self._crop_size / len(crop))
        # Bilinear sampling looks at four pixels only: what lies between them is averaged first.
        blocks = max(1, int(1 / (self._scale * reduced)))
        crop, reduced = reduce_image(crop, blocks), reduced * blocks
        scale = self._scale * reduced
        shift = self._shift + self._scale * (reduced - 1) / 2
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        picture = cv2.warpAffine(crop, matrix, (contract.size, contract.size), flags=cv2.INTER_LINEAR)
        if contract.channels == "bgr":
            picture = picture[..., ::-1]
        if contract.type == "float32":
            picture = (picture - np.float32(contract.mean)) / np.float32(contract.deviation)
        return np.ascontiguousarray(picture if contract.layout == "nhwc" else picture.transpose(2, 0, 1))

    def _to_crop(self, points: np.ndarray) -> np.ndarray:
        return ((points - self._shift) / self._scale).astype(np.float32)

    def _chosen(self, answer: np.ndarray) -> np.ndarray:
        """Of the model's landmarks (axis 1) those of the scheme."""
        numbers = self.contract.landmarks
        if numbers is None and answer.shape[1] != self._count:
            raise ValueError(f"the backbone gives {answer.shape[1]} landmarks, the scheme has {self._count}: list theirs as `landmarks`")
        if numbers is not None and (len(numbers) != self._count or not 0 <= min(numbers) <= max(numbers) < answer.shape[1]):
            raise ValueError(
                f"the backbone's `landmarks` must list {self._count} numbers in 0..{answer.shape[1] - 1}, found {list(numbers)}"
            )
        return answer if numbers is None else answer[:, list(numbers)]

    def _from_coordinates(self, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray, None]:
        size = self.contract.size
        points = self._chosen(answer.reshape(len(answer), -1, 2).astype(np.float32))
        match self.contract.unit:
            case "unit":
                points = points * size - 0.5
            case "signed":
                points = (points + 1) / 2 * size - 0.5
            case int(side):
                points = (points + 0.5) / side * size - 0.5
        return self._to_crop(points), np.full(points.shape[:2], UNKNOWN_CONFIDENCE, np.float32), None

    def _from_heatmaps(self, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if answer.ndim != 4:
            raise ValueError(f"the backbone gives {answer.shape}, expected heatmaps (N, L, h, w): set output.kind, or name another output")
        heatmaps = self._chosen(answer)
        points, peak = decode(heatmaps)
        stride = self.contract.size / np.array([heatmaps.shape[3], heatmaps.shape[2]], np.float32)
        patches = patches_around(heatmaps, points, self.unit * self._scale / float(stride[0]), self.side)
        return self._to_crop((points + 0.5) * stride - 0.5), np.clip(peak, 0.01, 0.99), patches
