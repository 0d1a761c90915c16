"""Models on disk: safetensors with a JSON header. No pickle, so a file from a stranger can be loaded."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from strrn.core.environment import environment
from strrn.core.files import atomic
from strrn.core.landmarks import scheme_from_dict
from strrn.models.hourglass import HGN
from strrn.models.mdm import MDM
from strrn.models.spatial import reference_tensor
from strrn.models.strrn import STRRN

HEADER_KEYS = {"architecture", "parameters", "scheme", "reference_shape", "face_template", "size", "round", "data_hashes"}


def build(header: dict) -> nn.Module:
    """The untrained network that a header describes: architecture `mdm`, `hgn` or `strrn` with its parameters."""
    missing = HEADER_KEYS - header.keys()
    if missing:
        raise ValueError(f"model header lacks {sorted(missing)}")
    scheme = scheme_from_dict(header["scheme"])
    parameters = dict(header["parameters"])
    match header["architecture"]:
        case "mdm":
            return MDM(scheme, reference_tensor(header["reference_shape"]), **parameters)
        case "hgn":
            return HGN(scheme.num_landmarks, header["size"], **parameters)
        case "strrn":
            return STRRN(scheme, reference_tensor(header["reference_shape"]), **parameters)
        case other:
            raise ValueError(f"unknown architecture {other!r}: expected mdm, hgn or strrn")


def save(path: Path | str, module: nn.Module, header: dict) -> None:
    """Write the weights and the header, atomically; with it goes what they were made with (`environment`, and `device`)."""
    missing = HEADER_KEYS - header.keys()
    if missing:
        raise ValueError(f"{path}: model header lacks {sorted(missing)}")
    tensors = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    header = {**header, "environment": {**environment(), "device": device}}
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"header": json.dumps(header, sort_keys=True)})


def load(path: Path | str, build: Callable[[dict], nn.Module] = build) -> tuple[nn.Module, dict]:
    """(network in eval mode, header). build: makes the untrained network of a header. Raises FileNotFoundError, or ValueError for a
    file that is not one of ours."""
    header = read_header(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    module = build(header)
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path}: its weights do not fit its header: {error}") from error
    return module.eval(), header


def read_header(path: Path | str) -> dict:
    """What `save` wrote beside the weights. Raises FileNotFoundError, or ValueError for a file that is not one of ours."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no model at {path}: run `dvc repro` to train one")
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {}).get("header", "{}"))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a model of this project: {error}") from error


def file_hash(path: Path | str) -> str:
    """sha256 of a file, hexadecimal: what tables and headers call the hash of a model or of data."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def weights_hash(module: nn.Module) -> str:
    """sha256 over all parameters and buffers, for tests of determinism."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().to(torch.float32).numpy().tobytes())
    return digest.hexdigest()
