"""What the cycle check kept and dropped of a round, read back from its folder: counts, and what changed between two rounds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strrn.core.files import read_json, read_yaml
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.core.tables import detections_schema, pseudo_labels_schema, read_table
from strrn.methods.selection import FOLLOWED

PARAMS = Path("params.yaml")

KEPT = ("", FOLLOWED)  # reasons of frames that teach
ROLES = ("detector", "tracker")  # whom a pseudo-label may teach
FIRST_FRAME = "first frame of the track"  # the stage `mine` gives it as a reason, but there is no pair of frames to check
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)  # those of summary.json


@dataclass(frozen=True)
class MinedRound:
    """The N frames of a round that went through the cycle check; first frames of tracks have no frame before them and are left out.

    threshold: the T that was applied. track_ids, frames, reasons: (N,); a reason is empty where the frame passed the check, FOLLOWED
    where it is kept although it did not. detected: (N, L, 2) detections in crop pixels. l_det, l_tck: (N,) normalised RMSE of the cycle.
    teaches: role -> (N,) bool. labels: role -> (N, L, 2) the pseudo-labels in crop pixels, NaN where the frame does not teach the role and
    where a landmark did not pass.
    """

    threshold: float
    track_ids: np.ndarray
    frames: np.ndarray
    reasons: np.ndarray
    detected: np.ndarray
    l_det: np.ndarray
    l_tck: np.ndarray
    teaches: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]

    @property
    def kept(self) -> np.ndarray:
        return np.isin(self.reasons, KEPT)

    @property
    def worst(self) -> np.ndarray:
        """(N,) the larger of the two losses: what decides whether a frame is kept."""
        return np.maximum(self.l_det, self.l_tck)

    def label(self, row: int) -> np.ndarray:
        """(L, 2) the label of a kept frame; that for the tracker where the two models are taught different points."""
        return self.labels["tracker" if self.teaches["tracker"][row] else "detector"][row]

    def tracked(self, row: int) -> np.ndarray:
        """(L, 2) the tracker's points of a kept frame, NaN where the tables do not tell them.

        The label for the detector is the track (Algorithm 1). If it is the tracker's label too, it is the mean of track and detection
        (`selection: consensus` and `trajectory`).
        """
        points = self.labels["detector"][row]
        if self.reasons[row] == FOLLOWED:
            return np.full_like(points, np.nan)
        if np.array_equal(points, self.labels["tracker"][row], equal_nan=True):
            return 2 * points - self.detected[row]
        return points


def round_folder(name: str, pseudo: Path) -> Path:
    """The folder of a round, by its name in `pseudo` or by its path. Raises FileNotFoundError that lists the rounds there are."""
    for folder in (pseudo / name, Path(name)):
        if folder.is_dir():
            return folder
    known = ", ".join(sorted(folder.name for folder in pseudo.glob("*/"))) or "none"
    raise FileNotFoundError(
        f"no round {name!r} in {pseudo} (there: {known}) and no folder of that name: "
        f"`dvc repro mine@{name}` mines a round that params.yaml has under `rounds`"
    )


def crops_scheme(crops: Path) -> LandmarkScheme:
    """The landmark scheme that the crops were made with. Raises FileNotFoundError where there are no crops or no such scheme."""
    reference = crops / "reference.json"
    if not reference.is_file():
        raise FileNotFoundError(f"{reference} is missing: `dvc repro crop` makes it, --crops names another folder")
    name = read_json(reference)["scheme"]
    # A scheme of the user's own is a file that params.yaml names.
    if PARAMS.is_file() and (file := str(read_yaml(PARAMS).get("scheme"))).endswith((".yaml", ".yml")):
        scheme = load_scheme(file)
        if scheme.name == name:
            return scheme
    return load_scheme(name)


def read_round(folder: Path, num_landmarks: int) -> MinedRound:
    """Read what the stage `mine` wrote. Every frame is either kept and has a label, or dropped and has a reason.

    Raises FileNotFoundError where a file is missing, ValueError where one is damaged or the three files contradict each other; both
    say how to make them anew.
    """
    cure = f"`dvc repro mine@{folder.name}` restores it or makes it anew"
    for name in ("labels.parquet", "detections.parquet", "summary.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: {cure}")
    try:
        labels = read_table(folder / "labels.parquet", pseudo_labels_schema(num_landmarks))
        detections = read_table(folder / "detections.parquet", detections_schema(num_landmarks))
        summary = read_json(folder / "summary.json")
        mined = _join(labels, detections, summary["threshold"])
        found = {"frames_seen": len(mined.frames), "kept": int(mined.kept.sum())}
        if found != {name: summary[name] for name in found}:
            raise ValueError(f"the tables hold {found}, summary.json says otherwise")
    except KeyError as error:
        raise ValueError(f"{folder / 'summary.json'} has no entry {error}: {cure}") from error
    except (ValueError, OSError) as error:  # pyarrow raises OSError where a column cannot be unpacked
        raise ValueError(f"{folder}: {error}: {cure}") from error
    return mined


def _join(labels: dict[str, np.ndarray], detections: dict[str, np.ndarray], threshold: float) -> MinedRound:
    """Put every label beside its detection. Raises ValueError where one of them lacks the other."""
    columns = {name: values[detections["reason"] != FIRST_FRAME] for name, values in detections.items()}
    rows = {key: row for row, key in enumerate(zip(columns["track_id"], columns["frame"], strict=True))}
    count = len(columns["frame"])
    teaches = {role: np.zeros(count, bool) for role in ROLES}
    points = {role: np.full(columns["points_crop"].shape, np.nan, np.float32) for role in ROLES}
    for number, key in enumerate(zip(labels["clip_id"], labels["frame"], strict=True)):
        role, row = labels["teaches"][number], rows.get(key)
        if role not in ROLES or row is None or columns["reason"][row] not in KEPT:
            raise ValueError(f"labels.parquet has {key[0]}, frame {key[1]}, for {role!r}, which detections.parquet does not have as kept")
        teaches[role][row] = True
        points[role][row] = np.where(labels["mask"][number][:, None], labels["points_crop"][number], np.nan)
    lonely = np.flatnonzero(np.isin(columns["reason"], KEPT) & ~teaches["detector"] & ~teaches["tracker"])
    if len(lonely):
        first = f"{columns['track_id'][lonely[0]]}, frame {columns['frame'][lonely[0]]}"
        raise ValueError(f"{len(lonely)} frames have neither a label nor a reason why they were dropped, the first is {first}")
    return MinedRound(
        threshold,
        columns["track_id"],
        columns["frame"],
        columns["reason"],
        columns["points_crop"],
        columns["l_det"],
        columns["l_tck"],
        teaches,
        points,
    )


def select_clips(mined: MinedRound, names: list[str]) -> np.ndarray:
    """(N,) bool: the frames of the named tracks (`holiday.0`) or of all tracks of the named clips (`holiday`); of all where none is named.

    Raises ValueError for a name that no frame has.
    """
    chosen = np.full(len(mined.frames), not names)
    clips = np.array([track_id.rpartition(".")[0] for track_id in mined.track_ids], object)
    for name in names:
        found = (mined.track_ids == name) | (clips == name)
        if not found.any():
            raise ValueError(f"no clip {name!r} in this round; there are {', '.join(dict.fromkeys(mined.track_ids))}")
        chosen |= found
    return chosen


def clips_of(mined: MinedRound, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Track id -> (N,) bool, its frames among the chosen ones."""
    return {track_id: chosen & (mined.track_ids == track_id) for track_id in dict.fromkeys(mined.track_ids[chosen])}


def counts(mined: MinedRound, chosen: np.ndarray) -> dict:
    """frames_seen = kept + the sum of `dropped` (reason -> frames); followed: of the kept, those that failed the check; teaches: role ->
    frames; quantiles of both losses. chosen: (N,) bool."""
    reasons, numbers = np.unique(mined.reasons[chosen & ~mined.kept].astype(str), return_counts=True)
    return {
        "frames_seen": int(chosen.sum()),
        "kept": int((chosen & mined.kept).sum()),
        "followed": int((chosen & (mined.reasons == FOLLOWED)).sum()),
        "teaches": {role: int((chosen & mined.teaches[role]).sum()) for role in ROLES},
        "dropped": {str(reason): int(number) for reason, number in zip(reasons, numbers, strict=True)},
        "quantiles": {"l_det": quantiles(mined.l_det[chosen]), "l_tck": quantiles(mined.l_tck[chosen])},
    }


def quantiles(values: np.ndarray) -> dict[str, float]:
    """Quantile -> value, in the form of summary.json; empty for no values."""
    return {f"{q:.2f}": round(float(np.quantile(values.astype(float), q)), 6) for q in QUANTILES} if len(values) else {}


def difference(first: MinedRound, second: MinedRound, scheme: LandmarkScheme) -> dict:
    """What changed from one round to another that was mined from the same crops: in total and per track, ready for JSON.

    changed: whether any label, loss or teacher differs. kept_in_both, only_in_first, only_in_second: frames. kept_share: of the frames
    seen, of both rounds. other_models_taught: frames kept in both that do not teach the same models. labels_compared: labels for the
    same model of the same frame. moved_<normaliser>_mean, _p95: mean over landmarks of the way from a label to the other / distance of
    the first round's detection, then mean and 95 % quantile over the labels; None where none is compared. quantiles: of both losses.
    """
    clips = [clips_of(mined, np.ones(len(mined.frames), bool)) for mined in (first, second)]
    nothing = [np.zeros(len(mined.frames), bool) for mined in (first, second)]
    per_clip = {
        track_id: _compare(first, second, clips[0].get(track_id, nothing[0]), clips[1].get(track_id, nothing[1]), scheme)
        for track_id in sorted({*clips[0], *clips[1]})
    }
    return {**_compare(first, second, ~nothing[0], ~nothing[1], scheme), "per_clip": per_clip}


def _compare(first: MinedRound, second: MinedRound, chosen_first: np.ndarray, chosen_second: np.ndarray, scheme: LandmarkScheme) -> dict:
    rounds = ((first, chosen_first), (second, chosen_second))
    kept = [set(_keys(mined, chosen & mined.kept)) for mined, chosen in rounds]
    counted = [counts(mined, chosen) for mined, chosen in rounds]
    # Rows a of the first and b of the second round are the same frames.
    where = {key: row for row, key in zip(np.flatnonzero(chosen_second), _keys(second, chosen_second), strict=True)}
    common = [(row, where[key]) for row, key in zip(np.flatnonzero(chosen_first), _keys(first, chosen_first), strict=True) if key in where]
    a, b = np.array(common, int).reshape(-1, 2).T
    other = np.any([first.teaches[role][a] != second.teaches[role][b] for role in ROLES], 0) & first.kept[a] & second.kept[b]
    same_losses = np.array_equal(first.l_det[a], second.l_det[b]) and np.array_equal(first.l_tck[a], second.l_tck[b])
    same_labels = all(np.array_equal(first.labels[role][a], second.labels[role][b], equal_nan=True) for role in ROLES)
    moved = np.concatenate([_moved(first, second, a, b, role, scheme) for role in ROLES])
    return {
        "changed": not (len(a) == len(first.frames[chosen_first]) == len(second.frames[chosen_second]) and same_losses and same_labels),
        "frames_seen": {name: count["frames_seen"] for name, count in zip(("first", "second"), counted, strict=True)},
        "kept_in_both": len(kept[0] & kept[1]),
        "only_in_first": len(kept[0] - kept[1]),
        "only_in_second": len(kept[1] - kept[0]),
        "kept_share": {name: _share(count) for name, count in zip(("first", "second"), counted, strict=True)},
        "other_models_taught": int(other.sum()),
        "labels_compared": len(moved),
        f"moved_{scheme.method_normaliser}_mean": round(float(moved.mean()), 6) if len(moved) else None,
        f"moved_{scheme.method_normaliser}_p95": round(float(np.quantile(moved, 0.95)), 6) if len(moved) else None,
        "quantiles": {name: count["quantiles"] for name, count in zip(("first", "second"), counted, strict=True)},
    }


def _keys(mined: MinedRound, chosen: np.ndarray) -> list[tuple[str, int]]:
    return list(zip(mined.track_ids[chosen], mined.frames[chosen].tolist(), strict=True))


def _share(count: dict) -> float | None:
    return round(count["kept"] / count["frames_seen"], 6) if count["frames_seen"] else None


def _moved(first: MinedRound, second: MinedRound, a: np.ndarray, b: np.ndarray, role: str, scheme: LandmarkScheme) -> np.ndarray:
    """(M,) mean way of the landmarks that both rounds teach the role, as a fraction of the normalising distance."""
    ways = np.linalg.norm(second.labels[role][b] - first.labels[role][a], axis=-1)
    both = np.isfinite(ways)
    some = both.any(1)
    means = np.where(both, ways, 0)[some].sum(1) / both[some].sum(1)
    return means / scheme.distance(first.detected[a][some])
