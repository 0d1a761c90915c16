"""300-W (ibug.doc.ic.ac.uk/resources/300-W): photographs with 68 points, for research only. The user brings the folder."""

import re
from collections.abc import Iterator
from pathlib import Path

from strrn.core.landmarks import LandmarkScheme
from strrn.data.sources.labelled import LabelError, LabelledFace
from strrn.data.sources.pts import image_of, read_pts
from strrn.data.sources.record import split_of

LAYOUT = ("afw", "helen/trainset", "helen/testset", "lfpw/trainset", "lfpw/testset", "ibug")
NUMBERED = ("afw", "helen")  # a last _1, _2, … tells faces of one photograph apart; in lfpw it counts the photographs


def faces_300w(folder: Path, scheme: LandmarkScheme, val: float, test: float) -> Iterator[LabelledFace | dict]:
    """The faces of the sets that are there, or rejected rows, sorted by path.

    The official test sets (testset, ibug) are `test` whatever `test` says; the photographs of the others are divided by `split_of`.
    Raises FileNotFoundError where none of the sets is there.
    """
    sets = [name for name in LAYOUT if (folder / name).is_dir()]
    files = [(name, file) for name in sets for file in sorted((folder / name).glob("*.pts"))]
    if not files:
        raise FileNotFoundError(
            f"{folder} of params.yaml, labels.ibug_300w, has no .pts files in {', '.join(LAYOUT)}: unpack the archives of 300-W so that "
            "some of these folders, each with images and .pts files, lie in it; or set labels.ibug_300w to null"
        )
    for name, file in files:
        image_id = f"300w/{name}/{file.stem}"
        photograph = re.sub(r"_\d+$", "", image_id) if name.startswith(NUMBERED) else image_id
        held_out = name == "ibug" or name.endswith("testset")
        split = "test" if held_out else split_of(photograph, val, test)
        try:
            points = read_pts(file, scheme)
            yield LabelledFace(image_id, photograph, split, "300w", "research only (300-W)", image_of(file), None, points)
        except LabelError as error:
            yield error.row(image_id)
