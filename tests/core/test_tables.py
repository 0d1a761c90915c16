import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strrn.core import tables

SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("frame", pa.int32()),
        ("image", pa.binary()),
        ("points_crop", pa.list_(pa.float32(), 6)),
        ("valid", pa.list_(pa.bool_(), 3)),
    ]
)


def columns(rows: int = 2) -> dict:
    points = np.arange(rows * 6, dtype=np.float32).reshape(rows, 3, 2)
    if rows:
        points[0, 1] = np.nan
    valid = np.isfinite(points).all(-1)
    return {
        "name": [f"clip {i}" for i in range(rows)],
        "frame": np.arange(rows),
        "image": [bytes([i % 256, 0, 255]) for i in range(rows)],
        "points_crop": points,
        "valid": valid,
    }


@pytest.mark.parametrize("rows", [0, 1, 2, 500])
def test_table_and_back(tmp_path, rows: int) -> None:
    written = columns(rows)
    tables.write_table(tmp_path / "a.parquet", written, SCHEMA)
    read = tables.read_table(tmp_path / "a.parquet", SCHEMA)
    assert list(read["name"]) == written["name"] and list(read["image"]) == written["image"]
    np.testing.assert_array_equal(read["frame"], written["frame"])
    assert read["points_crop"].shape == (rows, 3, 2) and read["points_crop"].dtype == np.float32
    np.testing.assert_array_equal(read["points_crop"], written["points_crop"])  # NaN stays NaN, it does not become null
    assert read["valid"].shape == (rows, 3) and read["valid"].dtype == bool
    np.testing.assert_array_equal(read["valid"], written["valid"])


def test_order_of_coordinates_in_the_file(tmp_path) -> None:
    tables.write_table(tmp_path / "a.parquet", columns(), SCHEMA)
    (row,) = pq.read_table(tmp_path / "a.parquet", columns=["points_crop"]).column(0)[1:].to_pylist()
    assert row == [6, 7, 8, 9, 10, 11]  # x0, y0, x1, y1, x2, y2


def test_wrong_columns_and_lengths_are_refused(tmp_path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(ValueError, match=r"columns .* given, schema has"):
        tables.write_table(path, columns() | {"more": [1, 2]}, SCHEMA)
    with pytest.raises(ValueError, match="rows of points_crop hold 4 values, expected 6"):
        tables.write_table(path, columns() | {"points_crop": np.zeros((2, 2, 2))}, SCHEMA)
    with pytest.raises(pa.ArrowInvalid):
        tables.write_table(path, columns() | {"frame": np.arange(3)}, SCHEMA)
    assert list(tmp_path.iterdir()) == []


def test_file_of_another_kind_is_named(tmp_path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"not a table")
    with pytest.raises(ValueError, match=r"a\.parquet is not a readable Parquet file"):
        tables.read_table(tmp_path / "a.parquet")
    tables.write_table(tmp_path / "b.parquet", columns(), SCHEMA)
    with pytest.raises(ValueError, match=r"b\.parquet: its columns are"):
        tables.read_table(tmp_path / "b.parquet", tables.truth_schema(3))
