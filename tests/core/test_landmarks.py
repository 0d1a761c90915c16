from dataclasses import replace

import numpy as np
import pytest
import yaml

from strrn.core.landmarks import load_scheme, scheme_from_dict, scheme_to_dict

# The mirror permutation of the 300-W markup, written out by hand in runs of 0-based landmarks.
MIRROR = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    *[27, 28, 29, 30],
    *range(35, 30, -1),
    *[45, 44, 43, 42, 47, 46],
    *[39, 38, 37, 36, 41, 40],
    *range(54, 47, -1),
    *range(59, 54, -1),
    *range(64, 59, -1),
    *[67, 66, 65],
]
TOY = {
    "name": "toy",
    "names": ["left", "right", "nose"],
    "mirror": [1, 0, 2],
    "components": {"eyes": [0, 1]},
    "edges": [[0, 1]],
    "root": 2,
    "normalisers": {"eye_distance": [[0], [1]]},
    "subsets": {"eyes": [0, 1]},
}


def test_ibug68_is_the_300w_markup() -> None:
    scheme = load_scheme("ibug68")
    assert scheme.num_landmarks == 68 and scheme.root == 30
    assert list(scheme.mirror) == MIRROR
    components = {name: sorted(indices) for name, indices in scheme.components.items()}
    assert sorted(components.values()) == [
        list(range(17)),
        [*range(17, 22), *range(36, 42)],
        [*range(22, 27), *range(42, 48)],
        list(range(27, 36)),
        list(range(48, 68)),
    ]
    sizes = sorted(len(indices) for indices in scheme.subsets.values() if len(indices) in (49, 51))
    assert sizes == [49, 51]
    without_contour = next(indices for indices in scheme.subsets.values() if len(indices) == 51)
    forty_nine = next(indices for indices in scheme.subsets.values() if len(indices) == 49)
    assert sorted(without_contour) == list(range(17, 68))
    assert sorted(forty_nine) == [i for i in range(17, 68) if i not in (60, 64)]


def test_mirror_keeps_components_edges_and_root() -> None:
    scheme = load_scheme("ibug68")
    mirrored = [sorted(scheme.mirror[i] for i in indices) for indices in scheme.components.values()]
    assert sorted(mirrored) == sorted(sorted(indices) for indices in scheme.components.values())
    edges = {frozenset(edge) for edge in scheme.edges}
    assert {frozenset(scheme.mirror[i] for i in edge) for edge in edges} == edges
    assert scheme.mirror[scheme.root] == scheme.root


def test_distances_are_those_of_the_papers() -> None:
    scheme = load_scheme("ibug68")
    points = np.zeros((2, 68, 2), np.float32)
    points[:, 36:42, 0] = [0, 1, 2, 3, 2, 1]  # mean 1.5
    points[:, 42:48, 0] = [10, 11, 12, 13, 12, 11]  # mean 11.5
    points[1] *= 2
    np.testing.assert_allclose(scheme.distance(points), [10, 20])
    np.testing.assert_allclose(scheme.distance(points, "inter_ocular"), [13, 26])  # outer corners 36 and 45
    assert scheme.method_normaliser == "inter_pupil"


def test_unknown_normaliser_is_named_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"'ibug68' has no normaliser 'chin'; it has .*'inter_pupil'"):
        load_scheme("ibug68").distance(np.zeros((68, 2)), "chin")


def test_own_scheme_is_read_from_a_file(tmp_path) -> None:
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(TOY))
    scheme = load_scheme(tmp_path / "toy.yaml")
    assert scheme.names == ("left", "right", "nose") and scheme.method_normaliser == "eye_distance"
    assert scheme.distance(np.array([[0, 0], [3, 4], [9, 9]])) == 5


DERIVED = TOY | {"name": "derived", "from_ibug68": [list(range(36, 42)), list(range(42, 48)), [30]]}


@pytest.mark.parametrize("scheme", [load_scheme("ibug68"), *map(scheme_from_dict, (TOY, DERIVED))], ids=lambda scheme: scheme.name)
def test_mapping_and_back(scheme) -> None:
    assert scheme_from_dict(scheme_to_dict(scheme)) == scheme


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("names", ("left", "left", "nose"), "names repeat: left"),
        ("mirror", (1, 2, 0), "a partner that points back"),
        ("mirror", (1, 0), "a partner that points back"),
        ("normalisers", {"d": ((0, 1), (1, 0))}, "not the same"),
        ("normalisers", {}, "at least one normaliser"),
        ("normalisers", {"d": ((0,), ())}, "two lists, not empty and not the same"),
        ("root", 3, r"root names landmarks \[3\], but there are 3"),
        ("edges", ((0, 7),), r"edges names landmarks \[7\]"),
        ("components", {"eyes": (-1,)}, r"components.eyes names landmarks \[-1\]"),
        ("name", "ibug68", "has 3 landmarks: only that of 68"),
        ("names", (True, "right", "nose"), r"must be text, found \[True, 'right', 'nose'\]: quote them"),
        ("name", None, "must be text"),
        ("subsets", {"eyes": (5,)}, r"subsets.eyes names landmarks \[5\]"),
        ("normalisers", {"d": ((0,), (9,))}, r"normalisers.d names landmarks \[9\]"),
    ],
)
def test_impossible_schemes_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"scheme .*{message}"):
        replace(scheme_from_dict(TOY), **{field: value})


def test_points_are_means_of_those_of_ibug68() -> None:
    scheme = scheme_from_dict(DERIVED)
    points = np.stack([np.arange(68), 2 * np.arange(68)], -1).astype(np.float32)[None]
    valid = np.ones((1, 68), bool)
    valid[0, 40] = False
    points[0, 40] = np.nan
    mean, known = scheme.from_68(points, valid)
    assert mean.dtype == np.float32 and known.tolist() == [[False, True, True]]
    np.testing.assert_array_equal(mean[0], [[np.nan, np.nan], [44.5, 89], [30, 60]])
    same, still = load_scheme("ibug68").from_68(points, valid)
    assert same is points and still is valid
    assert [s.knows_ibug68 for s in (scheme, load_scheme("ibug68"), scheme_from_dict(TOY))] == [True, True, False]
    with pytest.raises(ValueError, match="'toy' has no from_ibug68"):
        scheme_from_dict(TOY).from_68(points, valid)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([[36], [45]], "2 lists, expected one for each of 3"),
        ([[36], [], [30]], "'right' must list"),
        ([[36], [45], [68]], r"'nose' .*\[68\]"),
    ],
)
def test_impossible_derivations_are_refused(groups: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scheme_from_dict(DERIVED | {"from_ibug68": groups})


def test_missing_and_unknown_fields_are_named() -> None:
    content = {key: value for key, value in TOY.items() if key != "root"} | {"colour": 1}
    with pytest.raises(ValueError, match=r"toy.yaml: missing fields \['root'\], unknown fields \['colour'\]"):
        scheme_from_dict(content, origin="toy.yaml")


@pytest.mark.parametrize("name", ["ibug86", "no/such/file.yaml"])
def test_unknown_scheme_is_named_with_those_that_exist(name: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"'{name}': give one of \['ibug68'\] or the path"):
        load_scheme(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no fields: a scheme has"),
        ("name: [", r", line 1: .* \(while parsing a flow"),
        ("- 1\n", "holds no fields: a scheme has"),
        (yaml.safe_dump(TOY | {"mirror": 1}), "mirror is not as a scheme has it .*, found 1"),
        (yaml.safe_dump(TOY | {"mirror": ["b", 0, 2]}), r"mirror is not as a scheme has it .*, found \['b', 0, 2\]"),
        (yaml.safe_dump(TOY | {"edges": [[0, 1, 2]]}), r"edges is not as a scheme has it .*, found \[\[0, 1, 2\]\]"),
        (yaml.safe_dump(TOY | {"normalisers": {"d": [0, 1]}}), "normalisers is not as a scheme has it"),
        (yaml.safe_dump(TOY | {"components": [[0, 1]]}), "components is not as a scheme has it"),
    ],
)
def test_a_file_that_is_no_scheme_says_what_is_wrong(tmp_path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"(?s)mine.yaml.*{message}"):
        load_scheme(tmp_path / "mine.yaml")


@pytest.mark.parametrize(("field", "value"), [("names", "abc"), ("root", 2.7), ("mirror", ["1", "0", "2"]), ("components", {"eyes": [0.5]})])
def test_what_is_not_as_a_scheme_has_it_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{field} is not as a scheme has it"):
        scheme_from_dict(TOY | {field: value})
