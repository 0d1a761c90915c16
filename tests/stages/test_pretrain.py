"""What the pretrain stage replaces by new renders."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strrn.stages.pretrain import rendered_rows


def test_only_rendered_stills_are_replaced(tmp_path):
    stills = tmp_path / "stills.parquet"
    pq.write_table(pa.table({"source": ["rendered", "rendered", "300w"]}), stills)
    assert rendered_rows(stills) == 2
    pq.write_table(pa.table({"source": ["own", "300w"]}), stills)
    with pytest.raises(ValueError, match=r"fresh replaces rendered stills, and labels\.rendered is false: set fresh to 0"):
        rendered_rows(stills)
