"""Parquet tables: the schemas that stages hand to each other, and how they are written and read.

An array column is a fixed-size list; `points_*` columns hold L * 2 floats in the order x0, y0, x1, y1, …
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strrn.core.files import atomic

SCHEMA_VERSION = 1


def stills_schema(num_landmarks: int) -> pa.Schema:
    """Labelled still images. image: encoded JPEG or PNG; points_frame in pixels of that image, NaN where not `valid`."""
    return pa.schema(
        [
            ("image_id", pa.string()),
            ("identity", pa.string()),
            ("split", pa.string()),
            ("source", pa.string()),
            ("licence", pa.string()),
            ("image", pa.binary()),
            ("points_frame", pa.list_(pa.float32(), num_landmarks * 2)),
            ("valid", pa.list_(pa.bool_(), num_landmarks)),
            ("visible", pa.list_(pa.bool_(), num_landmarks)),
        ]
    )


def still_crops_schema(num_landmarks: int) -> pa.Schema:
    """Labelled crops: `stills_schema` with the image cropped and the points in crop pixels."""
    fields = [field if field.name != "points_frame" else field.with_name("points_crop") for field in stills_schema(num_landmarks)]
    return pa.schema(fields)


def truth_schema(num_landmarks: int) -> pa.Schema:
    """Truth of a clip, one row a frame. visible: neither self-occluded nor behind an occluder."""
    return pa.schema(
        [
            ("frame", pa.int32()),
            ("points_frame", pa.list_(pa.float32(), num_landmarks * 2)),
            ("valid", pa.list_(pa.bool_(), num_landmarks)),
            ("visible", pa.list_(pa.bool_(), num_landmarks)),
        ]
    )


def crops_schema() -> pa.Schema:
    """Crops of one face track. transform: a, b, tx, ty of its CropTransform; repeats: pixels equal those of the frame before."""
    return pa.schema(
        [
            ("frame", pa.int32()),
            ("image", pa.binary()),
            ("transform", pa.list_(pa.float64(), 4)),
            ("box", pa.list_(pa.float32(), 4)),
            ("face_probability", pa.float32()),
            ("detected", pa.bool_()),
            ("repeats", pa.bool_()),
        ]
    )


def pseudo_labels_schema(num_landmarks: int) -> pa.Schema:
    """Algorithm 1's output: D_det (teaches = detector) and D_tck (teaches = tracker) of one round."""
    return pa.schema(
        [
            ("clip_id", pa.string()),
            ("frame", pa.int32()),
            ("teaches", pa.string()),
            ("points_crop", pa.list_(pa.float32(), num_landmarks * 2)),
            ("mask", pa.list_(pa.bool_(), num_landmarks)),
            ("l_det", pa.float32()),
            ("l_tck", pa.float32()),
            ("round", pa.string()),
            ("detector_hash", pa.string()),
            ("tracker_hash", pa.string()),
            ("schema_version", pa.int32()),
        ]
    )


def detections_schema(num_landmarks: int) -> pa.Schema:
    """Every detection that a round's mining made, with both cycle losses and, where the frame was dropped, the reason."""
    return pa.schema(
        [
            ("track_id", pa.string()),
            ("frame", pa.int32()),
            ("points_crop", pa.list_(pa.float32(), num_landmarks * 2)),
            ("l_det", pa.float32()),
            ("l_tck", pa.float32()),
            ("reason", pa.string()),
        ]
    )


def predictions_schema(num_landmarks: int) -> pa.Schema:
    """What any system, ours or a peer, says of a clip. A frame without a face has state `lost` or `searching` and NaN points."""
    return pa.schema(
        [
            ("clip_id", pa.string()),
            ("frame", pa.int32()),
            ("face_id", pa.int32()),
            ("points_frame", pa.list_(pa.float32(), num_landmarks * 2)),
            ("confidence", pa.list_(pa.float32(), num_landmarks)),
            ("state", pa.string()),
            ("box", pa.list_(pa.float32(), 4)),
        ]
    )


def write_table(path: Path | str, columns: Mapping[str, Sequence | np.ndarray], schema: pa.Schema) -> None:
    """Write columns (lists, or arrays whose rows are flattened) as Parquet, atomically.

    Raises ValueError when a column is missing, unknown, or has rows of the wrong length.
    """
    if set(columns) != set(schema.names):
        raise ValueError(f"{path}: columns {sorted(columns)} given, schema has {sorted(schema.names)}")
    arrays = []
    for field in schema:
        values = columns[field.name]
        if pa.types.is_fixed_size_list(field.type):
            flat = np.asarray(values).reshape(len(values), -1) if len(values) else np.zeros((0, field.type.list_size))
            if flat.shape[1] != field.type.list_size:
                raise ValueError(f"{path}: rows of {field.name} hold {flat.shape[1]} values, expected {field.type.list_size}")
            items = pa.array(flat.ravel(), type=field.type.value_type, from_pandas=False)
            arrays.append(pa.FixedSizeListArray.from_arrays(items, type=field.type))
        else:
            arrays.append(pa.array(values, type=field.type))
    table = pa.Table.from_arrays(arrays, schema=schema)
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Path | str, schema: pa.Schema | None = None, columns: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Columns (None: all) of a Parquet file as arrays: lists become (rows, n), `points_*` (rows, L, 2), binary and text objects.

    Raises ValueError where the file is not a table or does not have the given schema.
    """
    try:
        found = pq.read_schema(path)
        if schema is not None and not found.equals(schema):
            raise ValueError(f"{path}: its columns are\n{found}\nexpected\n{schema}")
        table = pq.read_table(path, columns=columns)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is not a readable Parquet file: {error}") from error
    arrays = {}
    for field in table.schema:
        column = table.column(field.name).combine_chunks()
        if pa.types.is_fixed_size_list(field.type):
            values = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), field.type.list_size)
            arrays[field.name] = values.reshape(len(column), field.type.list_size // 2, 2) if field.name.startswith("points_") else values
        else:
            arrays[field.name] = column.to_numpy(zero_copy_only=False)
    return arrays
