"""The `render` section of params.yaml. docs/renderer.md tells what each range does to the pictures."""

from dataclasses import dataclass, fields


def _require(holds: bool, key: str, found: object, expected: str) -> None:
    if not holds:
        raise ValueError(f"{key} is {found!r}, expected {expected}")


def _range(values: list, key: str, low: float, high: float) -> None:
    _require(len(values) == 2 and low <= values[0] <= values[1] <= high, key, values, f"[smallest, largest] between {low} and {high}")


def _share(value: float, key: str) -> None:
    _require(0 <= value <= 1, key, value, "a share between 0 and 1")


@dataclass
class StillsParameters:
    """train, val, test: numbers of pictures. per_identity: pictures of one identity. height, width: pixels. face_pixels: larger side of the
    landmark box. jpeg_quality: range."""

    train: int
    val: int
    test: int
    per_identity: int
    height: int
    width: int
    face_pixels: list[int]
    jpeg_quality: list[int]

    def __post_init__(self) -> None:
        for key in ("train", "val", "test", "per_identity"):
            _require(getattr(self, key) >= 1, f"stills.{key}", getattr(self, key), "at least 1")
        _require(min(self.height, self.width) >= 64, "stills.height/width", [self.height, self.width], "at least 64 pixels")
        _range(self.face_pixels, "stills.face_pixels", 24, min(self.height, self.width))
        _range(self.jpeg_quality, "stills.jpeg_quality", 1, 100)


@dataclass
class ClipsParameters:
    """train, val, test and head_scan: numbers of clips; *_frames: frames of one. fps, height, width, face_pixels as for stills."""

    train: int
    train_frames: int
    val: int
    val_frames: int
    test: int
    test_frames: int
    head_scan: int
    head_scan_frames: int
    fps: int
    height: int
    width: int
    face_pixels: list[int]

    def __post_init__(self) -> None:
        for split in ("train", "val", "test", "head_scan"):
            _require(getattr(self, split) >= 1, f"clips.{split}", getattr(self, split), "at least 1")
            _require(getattr(self, f"{split}_frames") >= 3, f"clips.{split}_frames", getattr(self, f"{split}_frames"), "at least 3")
        _require(1 <= self.fps <= 240, "clips.fps", self.fps, "1 to 240")
        _require(min(self.height, self.width) >= 64, "clips.height/width", [self.height, self.width], "at least 64 pixels")
        _require(self.height % 2 == 0 and self.width % 2 == 0, "clips.height/width", [self.height, self.width], "even (H.264)")
        _range(self.face_pixels, "clips.face_pixels", 24, min(self.height, self.width))


@dataclass
class LookParameters:
    """Shape. macro: 0..1, how far ancestry, sex, age and build go from the average. detail: standard deviation of the shape targets.
    asymmetry: share of it by which the sides differ. expression: 0..1, strength of all units. gaze: standard deviation of the eyes' turn,
    radians.

    Looks. skin_tones: standard deviation about the ancestry's own, in steps of nine tones. pores, bumps: ranges of their depth. brows: 0..1,
    how far their height, slope and arch go from the average. wrinkles: 0..1, depth in old age. Shares: freckles (of light skin), make_up (of
    grown women), beards and bald (of grown men), stubble (of the beards), fringes, long_hair, glasses, sunglasses and reflections (of the
    glasses), caps, scarves.
    """

    macro: float
    detail: float
    asymmetry: float
    expression: float
    gaze: float
    skin_tones: float
    pores: list[float]
    bumps: list[float]
    brows: float
    freckles: float
    make_up: float
    beards: float
    stubble: float
    bald: float
    fringes: float
    long_hair: float
    glasses: float
    sunglasses: float
    reflections: float
    caps: float
    scarves: float
    wrinkles: float

    def __post_init__(self) -> None:
        ranges = ("pores", "bumps")
        for field in fields(self):
            if field.name not in (*ranges, "skin_tones"):
                _share(getattr(self, field.name), f"look.{field.name}")
        _require(0 <= self.skin_tones <= 8, "look.skin_tones", self.skin_tones, "0 to 8 tones")
        for key in ranges:
            _range(getattr(self, key), f"look.{key}", 0, 0.5)


@dataclass
class ViewParameters:
    """Stills. yaw, pitch, roll: standard deviations in degrees; yaw_limit: largest yaw; wide_yaw: share of pictures whose yaw is anything up
    to it. distance: range of the camera's, dm.

    contrast: strength of the first lamp, 0..1. second_lamp: largest share of the first one's strength; rim_lamp: share of pictures with one
    from behind; shadow: range of the strength of shadows. occluders: share of pictures with one, hands: share of them that are hands. blur:
    sigma range in pixels, noise: range (share of full scale); low_resolution, grey: shares of pictures. The light is that of clips as well.
    """

    yaw: float
    yaw_limit: float
    wide_yaw: float
    pitch: float
    roll: float
    distance: list[float]
    contrast: float
    second_lamp: float
    rim_lamp: float
    shadow: list[float]
    occluders: float
    hands: float
    blur: list[float]
    noise: list[float]
    low_resolution: float
    grey: float

    def __post_init__(self) -> None:
        _require(0 <= self.yaw_limit <= 75, "view.yaw_limit", self.yaw_limit, "0 to 75 degrees")
        for key in ("yaw", "pitch", "roll"):
            _require(0 <= getattr(self, key) <= 45, f"view.{key}", getattr(self, key), "0 to 45 degrees")
        for key in ("wide_yaw", "contrast", "second_lamp", "rim_lamp", "occluders", "hands", "low_resolution", "grey"):
            _share(getattr(self, key), f"view.{key}")
        _range(self.distance, "view.distance", 4, 1000)
        _range(self.shadow, "view.shadow", 0, 1)
        _range(self.blur, "view.blur", 0, 5)
        _range(self.noise, "view.noise", 0, 0.2)


@dataclass
class MotionParameters:
    """Clips. speed: peak of the head's speed in face widths a frame while it moves, a range over clips. shutter: exposure time as a share of
    the frame interval (motion blur). occluders: share of clips in which something passes. light: relative change of the light. camera: how
    far exposure, white balance and focus wander, 0..1. blur, noise: as for stills; low_resolution: share of clips. crf: H.264 quality range
    (larger is worse)."""

    speed: list[float]
    shutter: list[float]
    occluders: float
    light: list[float]
    camera: list[float]
    blur: list[float]
    noise: list[float]
    low_resolution: float
    crf: list[int]

    def __post_init__(self) -> None:
        _range(self.speed, "motion speed", 0, 0.3)
        _range(self.shutter, "motion shutter", 0, 1)
        _range(self.light, "motion light", 0, 0.9)
        _range(self.camera, "motion camera", 0, 1)
        _share(self.occluders, "motion occluders")
        _share(self.low_resolution, "motion low_resolution")
        _range(self.blur, "motion blur", 0, 5)
        _range(self.noise, "motion noise", 0, 0.2)
        _range(self.crf, "motion crf", 0, 51)


@dataclass
class RenderParameters:
    """workers: processes, 0 for all cores (no influence on the result). supersampling: samples a pixel along each axis. motion: of
    training clips; motion_test: of the clips that are scored, harder on purpose."""

    workers: int
    supersampling: float
    stills: StillsParameters
    clips: ClipsParameters
    look: LookParameters
    view: ViewParameters
    motion: MotionParameters
    motion_test: MotionParameters

    def __post_init__(self) -> None:
        _require(self.workers >= 0, "workers", self.workers, "0 (all cores) or a number of processes")
        _require(1 <= self.supersampling <= 4, "supersampling", self.supersampling, "1 to 4")
