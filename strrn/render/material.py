"""Skin, brows, lips, eyes, hair, beard, clothes: what a point of the head looks like before light falls on it.

Everything is a function of the rest-pose position of the point (x, y, z in dm; so it sticks to the face whatever it does) and of `Look`, the
numbers that one person's looks come down to. Colours are linear RGB.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from strrn.render.identity import Person
from strrn.render.landmarks import BROW_X, BROW_Y
from strrn.render.noise import NOISE_SIZE, PORE, STRAND, noise_at, skin_noise
from strrn.render.parameters import LookParameters
from strrn.render.plain import plain

# Skin of photographs from light to dark (sRGB), after the ten tones of the Monk scale without its two ends.
SKIN_TONES = np.array(
    [
        (243, 222, 205),
        (236, 207, 184),
        (228, 192, 163),
        (214, 176, 141),
        (189, 146, 110),
        (160, 118, 84),
        (125, 86, 62),
        (92, 62, 46),
        (66, 46, 37),
    ]
)
HAIR_COLOURS = np.array(
    [(16, 14, 14), (34, 26, 22), (58, 41, 30), (92, 66, 44), (150, 116, 76), (186, 158, 112), (112, 58, 36), (150, 148, 146)]
)
IRIS_COLOURS = np.array([(46, 30, 22), (78, 52, 34), (104, 88, 56), (84, 110, 124), (106, 122, 110)])
TEXTURE_SCALE = 200.0  # noise pixels per dm
FACE_AXIS = 0.3  # z of the vertical axis around which skin coordinates run
NOTHING_WORN, CAP, SCARF = 0.0, 1.0, 2.0  # Look.worn
SCARF_OVAL = 0.0, 7.12, 0.80, 1.08  # the face that a scarf leaves free: middle x and y, half width and height, dm of the rest pose
EYE_IRIS = 0.47  # angle from the gaze at which the iris ends, radians


class Look(NamedTuple):
    """Numbers of one person's looks, all floats and tuples of floats (the compiled shader holds them on its stack; arrays would cost a
    reference count at every pixel). Pairs of rows are the person's right and left side."""

    skin: tuple
    redness: float
    blotch: float
    pores: float
    freckles: float
    circles: float
    bump: float
    shine: float
    gloss: float
    lips: tuple
    lip_strength: float
    make_up: tuple
    make_up_strength: float
    brow_x: tuple
    brow_y: tuple
    brow_half: float
    brow_colour: tuple
    brow_density: float
    lash_x: tuple
    lash_y: tuple
    lash_strength: float
    hair: tuple
    hair_density: float
    hairline: tuple
    hair_contrast: float
    beard: tuple
    beard_density: float
    beard_shape: tuple
    clothes: tuple
    clothes_second: tuple
    clothes_shape: tuple
    worn: float
    worn_line: tuple
    worn_colour: tuple
    worn_second: tuple
    worn_stripes: float
    wrinkles: float
    sclera: tuple
    iris: tuple
    pupil: float
    eye_centres: tuple
    teeth: tuple
    tongue: tuple
    shift: tuple


def linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB 0..255 -> linear 0..1 (IEC 61966-2-1, by its 2.2 approximation)."""
    return np.float32((np.asarray(srgb, np.float64) / 255) ** 2.2)


def sample_look(
    rng: np.random.Generator, person: Person, eye_centres: np.ndarray, lash_line: np.ndarray, parameters: LookParameters
) -> Look:
    """Looks that fit the person. eye_centres: (2, 3) rest pose. lash_line: (2, N, 2) rest x, y of the upper lids, ascending x.

    The middle line of the brows is `look.brow_x`, `look.brow_y` (2, 5).
    """
    tone = _skin_tone(rng, person, parameters.skin_tones)
    warmth = rng.normal(0.01, 0.025)
    skin = _between(SKIN_TONES, tone) * rng.normal(1, 0.04) * np.array([1 + warmth, 1.0, 1 - warmth])
    hair = _hair_colour(rng, person, tone)
    female, adult = person.sex < 0.5, person.age > 0.4
    brow_x, brow_y, brow_half = _sample_brows(rng, female, parameters.brows)
    bearded = not female and adult and rng.random() < parameters.beards
    made_up = female and adult and rng.random() < parameters.make_up
    lips = skin * rng.uniform((0.72, 0.52, 0.55), (0.95, 0.75, 0.8))
    if made_up and rng.random() < 0.6:
        lips = np.array([rng.uniform(140, 205), rng.uniform(40, 95), rng.uniform(60, 110)]) * (0.55 + 0.45 * skin[0] / 255)
    clothes = rng.uniform(15, 235) * rng.uniform(0.75, 1.1, 3) if rng.random() < 0.5 else rng.uniform(10, 220, 3)
    worn = _sample_worn(rng, female, parameters)
    cloth = rng.uniform(12, 235) * rng.uniform(0.7, 1.15, 3)
    look = Look(
        skin=linear(np.clip(skin, 20, 250)),
        redness=rng.uniform(0.0, 0.2),
        blotch=rng.uniform(0.01, 0.06),
        pores=rng.uniform(*parameters.pores),
        freckles=rng.uniform(0.2, 0.6) * float(tone < 2.5 and rng.random() < parameters.freckles),
        circles=rng.uniform(0, 0.25),
        bump=rng.uniform(*parameters.bumps) * (0.6 + 0.8 * person.age),
        shine=rng.uniform(0.02, 0.12),
        gloss=rng.uniform(8, 40),
        lips=linear(np.clip(lips, 10, 240)),
        lip_strength=rng.uniform(0.5, 0.95),
        make_up=linear(rng.uniform((40, 30, 30), (150, 110, 130))),
        make_up_strength=rng.uniform(0.1, 0.6) * made_up,
        brow_x=brow_x,
        brow_y=brow_y,
        brow_half=brow_half,
        brow_colour=linear(np.clip(hair * rng.uniform(0.6, 1.0) + 6, 6, 160)),
        brow_density=rng.uniform(0.55, 0.98),
        lash_x=np.float32(lash_line[:, :, 0]),
        lash_y=np.float32(lash_line[:, :, 1]),
        lash_strength=rng.uniform(0.6, 1.0) if made_up else rng.uniform(0.25, 0.75),
        hair=linear(np.clip(hair, 8, 220)),
        hair_density=float(not (adult and not female and rng.random() < parameters.bald)),
        hairline=_sample_hairline(rng, female, parameters.fringes),
        hair_contrast=rng.uniform(0.15, 0.4),
        beard=linear(np.clip(hair * rng.uniform(0.7, 1.1) + 4, 8, 200)),
        beard_density=(rng.uniform(0.15, 0.5) if rng.random() < parameters.stubble else rng.uniform(0.55, 1.0)) * bearded,
        beard_shape=_sample_beard(rng),
        clothes=linear(np.clip(clothes, 8, 240)),
        clothes_second=linear(np.clip(clothes * rng.uniform(0.3, 1.3), 8, 240)),
        clothes_shape=np.float32([rng.uniform(5.55, 6.0), rng.uniform(0.0, 0.5), rng.choice([0.0, rng.uniform(6, 30)])]),
        worn=worn,
        worn_line=_sample_worn_line(rng, worn),
        worn_colour=linear(np.clip(cloth, 8, 240)),
        worn_second=linear(np.clip(cloth * rng.uniform(0.4, 1.5), 8, 240)),
        worn_stripes=rng.uniform(15, 60) * (rng.random() < 0.3),
        wrinkles=parameters.wrinkles * rng.uniform(0.2, 1.0) * min(max(person.age - 0.35, 0.0) / 0.5, 1.0),
        sclera=linear(rng.uniform((180, 172, 166), (218, 213, 210))),
        iris=linear(IRIS_COLOURS[_iris(rng, tone)] * rng.uniform(0.8, 1.25)),
        pupil=rng.uniform(0.13, 0.24),
        eye_centres=np.float32(eye_centres),
        teeth=linear(rng.uniform((205, 196, 176), (238, 232, 220))),
        tongue=linear(rng.uniform((150, 80, 80), (190, 110, 110))),
        shift=rng.uniform(0, NOISE_SIZE, 2),
    )
    return Look(*(plain(value) for value in look))


def _between(table: np.ndarray, at: float) -> np.ndarray:
    low = int(np.clip(np.floor(at), 0, len(table) - 2))
    return table[low] + (table[low + 1] - table[low]) * (at - low)


def _skin_tone(rng: np.random.Generator, person: Person, spread: float) -> float:
    """Position in SKIN_TONES: by ancestry (african, asian, caucasian), widely spread."""
    means = np.dot(person.ancestry, (6.2, 2.6, 1.4))
    return float(np.clip(rng.normal(means, spread), 0, len(SKIN_TONES) - 1.01))


def _hair_colour(rng: np.random.Generator, person: Person, tone: float) -> np.ndarray:
    if person.age > 0.75 and rng.random() < 0.6:
        colour = _between(HAIR_COLOURS[[2, 7, 7]], rng.uniform(0.3, 1.9))
        return colour * rng.uniform(0.8, 1.3)
    fair = max(0.0, 1 - tone / 3.5)
    shares = np.array([0.35, 0.3, 0.15 + 0.3 * fair, 0.6 * fair, 0.4 * fair, 0.25 * fair, 0.12 * fair, 0.02])
    return HAIR_COLOURS[rng.choice(len(shares), p=shares / shares.sum())] * rng.uniform(0.75, 1.25)


def _iris(rng: np.random.Generator, tone: float) -> int:
    fair = max(0.0, 1 - tone / 3.5)
    shares = np.array([0.6, 0.4, 0.3 * fair, 0.5 * fair, 0.25 * fair])
    return int(rng.choice(len(shares), p=shares / shares.sum()))


def _sample_brows(rng: np.random.Generator, female: bool, variety: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Middle lines (2, 5) x and y with ascending x, and half the thickness at the thickest place, dm."""
    outer = np.linspace(1, 0, 5)
    lift, tilt, arch = variety * rng.normal((0, 0, 0.004 if female else -0.004), (0.022, 0.02, 0.012))
    shape = BROW_Y + lift + tilt * (outer - 0.5) + arch * (1 - (2 * outer - 1) ** 2)
    reach = BROW_X * rng.normal(1, 0.03) + rng.normal(0, 0.012) * (1 - outer)
    uneven = rng.normal(0, 0.006, 2)
    right_x, right_y = -reach, shape + uneven[0]
    left_x, left_y = reach[::-1], (shape + uneven[1])[::-1]
    half = float(np.clip(rng.normal(0.030 if female else 0.042, 0.008 * variety), 0.016, 0.065))
    return np.float32([right_x, left_x]), np.float32([right_y, left_y]), half


def _sample_hairline(rng: np.random.Generator, female: bool, fringes: float) -> np.ndarray:
    """y over the forehead, slope down the temples, parting, arch, wave (amplitude, frequency, phase), y at the nape."""
    forehead = rng.normal(7.93, 0.07)
    if rng.random() < fringes * (1.4 if female else 0.6):
        forehead -= rng.uniform(0.08, 0.27)  # a fringe
    nape = rng.uniform(6.2, 6.9) if female else rng.uniform(6.7, 7.1)
    wave = rng.uniform(0.0, 0.035), rng.uniform(3, 12), rng.uniform(0, 6.28)
    return np.float32([forehead, rng.uniform(0.75, 1.15), rng.normal(0, 0.1), rng.uniform(-0.6, 0.2), *wave, nape])


def _sample_worn(rng: np.random.Generator, female: bool, parameters: LookParameters) -> float:
    drawn = rng.random()
    scarves = parameters.scarves * (1.9 if female else 0.1)
    return CAP if drawn < parameters.caps else SCARF if drawn < parameters.caps + scarves else NOTHING_WORN


def _sample_worn_line(rng: np.random.Generator, worn: float) -> np.ndarray:
    """The edge of a cap or scarf, as of `_sample_hairline`."""
    if worn == SCARF:
        return np.float32([rng.normal(7.86, 0.05), 0.4, 0.0, rng.uniform(-0.5, -0.1), 0.0, 1.0, 0.0, 5.0])
    return np.float32([rng.normal(7.80, 0.06), rng.uniform(0.1, 0.35), rng.normal(0, 0.04), rng.uniform(-0.1, 0.1), 0.0, 1.0, 0.0, 7.4])


def _sample_beard(rng: np.random.Generator) -> np.ndarray:
    """cheek line (dm above the mouth at the ear), chin only (0/1), moustache (0/1), jaw (0/1)."""
    style = rng.choice(["full", "goatee", "moustache", "chin strap"], p=[0.6, 0.2, 0.1, 0.1])
    match style:
        case "full":
            return np.float32([rng.uniform(0.0, 0.25), 0, 1, 1])
        case "goatee":
            return np.float32([0, 1, 1, 1])
        case "moustache":
            return np.float32([0, 1, 1, 0])
    return np.float32([rng.uniform(0.0, 0.15), 0, 0, 1])


@njit(inline="always", fastmath=True)
def smooth(low, high, value):
    """0 below low, 1 above high, smooth between; low may be larger than high."""
    part = min(max((value - low) / (high - low), 0.0), 1.0)
    return part * part * (3.0 - 2.0 * part)


@njit(inline="always", fastmath=True)
def bell(square):
    """About exp(-square), without an exponential for every pixel: 0 from 4 on."""
    part = max(1.0 - 0.25 * square, 0.0)
    part *= part
    return part * part


def skin_coordinates(rest: np.ndarray) -> np.ndarray:
    """(V, 2) places of points of the head (V, 3) in noise pixels: around the vertical axis, and up over the crown.

    Between vertices they are interpolated; only at the back of the head, where the angle jumps, does that go wrong, and no picture shows it.
    """
    x, y, depth = rest[:, 0], rest[:, 1], rest[:, 2] - FACE_AXIS
    over = np.maximum(y - 7.5, 0)
    height = np.where(over == 0, y, 7.5 + 0.85 * np.arctan2(over, np.hypot(x, depth)))
    return np.float32(np.stack([0.85 * np.arctan2(x, depth), -height], 1) * TEXTURE_SCALE)


@njit(inline="always", fastmath=True)
def above_hairline(line, x, y, z):
    """How far (dm) a point of the head lies above the hairline: positive under hair."""
    edge = line[0] - line[1] * max(0.0, 1.30 - z) + line[2] * x + line[3] * x * x + line[4] * np.cos(x * line[5] + line[6])
    if z < 0.25:
        edge = min(edge, line[7])
    return y - edge


@njit(inline="always", fastmath=True)
def above_worn_edge(worn, line, x, y, z):
    """How far (dm) a point of the head lies inside a cap or scarf; negative where it is free."""
    above = above_hairline(line, x, y, z)
    if worn == SCARF:
        across, along = (x - SCARF_OVAL[0]) / SCARF_OVAL[2], (y - SCARF_OVAL[1]) / SCARF_OVAL[3]
        above = max(above, 0.7 * (np.sqrt(across * across + along * along) - 1.0) if z > 0.3 else 0.5)
    return above


@njit(cache=True, fastmath=True, nogil=True)
def covers(look, rest):
    """above_hairline and above_worn_edge of all points (V, 3): (V, 2), -1 where there is nothing of the kind."""
    cover = np.full((rest.shape[0], 2), -1.0, np.float32)
    for v in range(rest.shape[0]):
        if look.hair_density > 0.0:
            cover[v, 0] = above_hairline(look.hairline, rest[v, 0], rest[v, 1], rest[v, 2])
        if look.worn != NOTHING_WORN:
            cover[v, 1] = above_worn_edge(look.worn, look.worn_line, rest[v, 0], rest[v, 1], rest[v, 2])
    return cover


@njit(inline="always", fastmath=True)
def line_at(xs, ys, x):
    """Piecewise linear y over ascending xs, held at both ends."""
    last = len(xs) - 1
    if x <= xs[0]:
        return ys[0]
    for k in range(last):
        if x < xs[k + 1]:
            return ys[k] + (ys[k + 1] - ys[k]) * (x - xs[k]) / (xs[k + 1] - xs[k])
    return ys[last]


@njit(inline="always", fastmath=True)
def brow_cover(look, x, y, hairs):
    """0..1: brow hair at a point. Thick in the middle, thinning outwards; its ends are those of the landmarks."""
    side = 0 if x < 0 else 1
    xs, ys = look.brow_x[side], look.brow_y[side]
    middle = line_at(xs, ys, x)
    along = (abs(x) - min(abs(xs[0]), abs(xs[4]))) / abs(xs[4] - xs[0])  # 0 at the nose, 1 outside
    if along < -0.1 or along > 1.1 or abs(y - middle) > 0.15:
        return 0.0
    width = look.brow_half * (0.8 + 0.2 * smooth(-0.05, 0.15, along)) * (1.0 - 0.55 * smooth(0.45, 1.05, along))
    ends = smooth(-0.06, 0.03, along) * smooth(1.05, 0.96, along)
    return smooth(1.2, 0.7, abs(y - middle) / width + 0.12 * hairs) * ends * look.brow_density * min(max(0.92 + 0.1 * hairs, 0.0), 1.0)


@njit(inline="always", fastmath=True)
def beard_cover(look, x, y, z, blotch, pore):
    """0..1: beard at a point of jaw, chin and upper lip."""
    shape = look.beard_shape
    ax = abs(x)
    edge = y + 0.02 * blotch
    cheek = 6.80 + (shape[0] + 0.35) * smooth(0.22, 0.62, ax)
    jaw = shape[3] * smooth(cheek + 0.05, cheek - 0.06, edge) * smooth(5.98, 6.15, edge) * smooth(0.2, 0.4, z)
    if shape[1] > 0:
        jaw *= smooth(0.34, 0.24, ax)
    lip = shape[2] * smooth(6.78, 6.80, edge) * smooth(6.90, 6.86, edge) * smooth(0.27, 0.2, ax) * smooth(1.2, 1.3, z)
    return max(jaw, lip) * look.beard_density * min(max(0.9 + 0.12 * pore, 0.0), 1.0)


@njit(inline="always", fastmath=True)
def folds(x, y, z, bump):
    """-1..1: slope of the lines across the forehead."""
    if z < 0.9 or y < 7.55 or y > 8.0:
        return 0.0
    zone = smooth(7.58, 7.66, y) * smooth(7.98, 7.86, y) * smooth(0.6, 0.35, abs(x))
    return zone * np.sin(70.0 * (y + 0.05 * x * x) + 0.5 * bump)


@njit(inline="always", fastmath=True)
def times(colour, factor):
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


@njit(inline="always", fastmath=True)
def mixed(colour, other, share):
    """(3,) tuple between colour (share 0) and other (share 1)."""
    return (
        colour[0] + share * (other[0] - colour[0]),
        colour[1] + share * (other[1] - colour[1]),
        colour[2] + share * (other[2] - colour[2]),
    )


@njit(inline="always", fastmath=True)
def worn_cloth(look, along, mottle, pore):
    stripe = look.worn_stripes > 0.0 and np.sin(look.worn_stripes * along) > 0.2
    return times(look.worn_second if stripe else look.worn_colour, max(0.3, 1.0 + 0.06 * mottle + 0.06 * pore))


@njit(inline="always", fastmath=True)
def body_albedo(look, bank, x, y, z, u, v, lips, inside, ears):
    """A point of the body: linear RGB (3,), hair 0..1, bump noise, gloss factor. u, v: skin_coordinates."""
    u += look.shift[0]
    v += look.shift[1]
    ax = abs(x)
    blotch, mottle, pore = skin_noise(bank, u, v)
    bump = 0.6 * mottle + pore
    neck = look.clothes_shape[0] - look.clothes_shape[1] * smooth(0.55, 0.0, ax) * (1.0 if z > 0.4 else 0.3)
    if y < neck:
        stripe = look.clothes_shape[2] > 0.0 and np.sin(look.clothes_shape[2] * y) > 0.3
        return times(look.clothes_second if stripe else look.clothes, 1.0 + 0.12 * mottle + 0.05 * pore), 0.0, bump, 0.0
    if inside > 0.5:
        return times(look.tongue, 0.25), 0.0, bump, 1.0
    if look.worn != NOTHING_WORN and above_worn_edge(look.worn, look.worn_line, x, y, z) > 0.0:
        return worn_cloth(look, y, mottle, pore), 0.0, bump, 0.0
    over_hairline = above_hairline(look.hairline, x, y, z)
    hairy = look.hair_density > 0.0 and ears < 0.4 and lips < 0.3 and inside < 0.3 and over_hairline > -0.1
    cover, shade = 0.0, 1.0
    if hairy:
        cover = smooth(-0.02, 0.06, over_hairline + 0.016 * noise_at(bank, STRAND, u * 2.0, v) + 0.015 * mottle)
        strand = noise_at(bank, STRAND, u * 1.5, v * 0.7) + 0.5 * noise_at(bank, STRAND, u * 3.1 + 90.0, v)
        shade = max(0.2, 1.0 + look.hair_contrast * strand + 0.15 * blotch)
        if cover > 0.995:
            return times(look.hair, shade), 1.0, strand, 1.0
    tone = 1.0 + look.blotch * (0.6 * blotch + 0.5 * mottle) + look.pores * pore
    flush, shadow = 0.7 * ears, 0.0
    if z > 0.5 and 6.5 < y < 7.8:
        cheek = (ax - 0.4) ** 2 + (y - 7.05) ** 2
        tip = x * x + (y - 7.0) ** 2
        if cheek < 0.2:
            flush += bell(cheek / 0.035)
        if tip < 0.07:
            flush += 0.8 * bell(tip / 0.012)
        if abs(y - 7.24) < 0.14:
            tone *= 1.0 - look.circles * bell((ax - 0.3) ** 2 / 0.02 + (y - 7.24) ** 2 / 0.003)
        if look.freckles > 0.0:
            spots = noise_at(bank, PORE, u * 0.7 + 50.0, v * 0.7)
            tone *= 1.0 - look.freckles * smooth(1.3, 2.0, spots) * smooth(7.6, 7.3, y) * smooth(0.7, 1.1, z)
        if look.make_up_strength > 0.0 and z > 1.0 and abs(y - 7.43) < 0.12:
            shadow = look.make_up_strength * bell((ax - 0.32) ** 2 / 0.03 + (y - 7.43) ** 2 / 0.002)
    red = look.redness * flush
    colour = (
        look.skin[0] * tone * (1.0 - 0.25 * red),
        look.skin[1] * tone * (1.0 - 0.9 * red),
        look.skin[2] * tone * (1.0 - 0.9 * red),
    )
    if shadow > 0.0:
        colour = mixed(colour, look.make_up, shadow)
    lip = look.lip_strength * smooth(0.25, 0.75, lips)
    if lip > 0.0:
        colour = mixed(colour, times(look.lips, 1.0 + 0.06 * mottle), lip)
    side = 0 if x < 0 else 1
    if z > 1.15 and look.lash_x[side][0] - 0.02 < x < look.lash_x[side][7] + 0.01:
        away = y - line_at(look.lash_x[side], look.lash_y[side], x)
        colour = times(colour, 1.0 - 0.92 * look.lash_strength * smooth(0.035, 0.006, away) * smooth(-0.05, -0.01, away))
    hair = 0.0
    if lips < 0.3 and inside < 0.3:
        beard = beard_cover(look, x, y, z, blotch, pore) if look.beard_density > 0.0 and y < 7.4 else 0.0
        brow = brow_cover(look, x, y, pore) if z > 0.4 and abs(y - 7.5) < 0.4 else 0.0
        if beard > 0.0:
            colour = mixed(colour, times(look.beard, max(0.3, 1.0 + 0.15 * pore)), beard)
        if brow > 0.0:
            colour = mixed(colour, times(look.brow_colour, max(0.3, 1.0 + 0.12 * pore)), brow)
        hair = max(0.5 * beard, 0.5 * brow)
        if hairy:
            colour = mixed(colour, times(look.hair, shade), cover)
            hair = max(hair, cover)
    return colour, hair, bump, 1.0 + 1.5 * lip


@njit(inline="always", fastmath=True)
def eye_albedo(look, bank, side, gaze, x, y, z):
    """Linear RGB (3,) of an eyeball; side: 0 the person's right. gaze: (3,) unit direction."""
    centre = look.eye_centres[side]
    dx, dy, dz = x - centre[0], y - centre[1], z - centre[2]
    length = np.sqrt(dx * dx + dy * dy + dz * dz) + 1e-9
    angle = np.arccos(min(max((dx * gaze[0] + dy * gaze[1] + dz * gaze[2]) / length, -1.0), 1.0))
    iris = smooth(EYE_IRIS + 0.03, EYE_IRIS - 0.03, angle)
    vein = 1.0 - 0.10 * smooth(EYE_IRIS, 1.2, angle)
    lid = 1.0 - 0.45 * smooth(0.0, 0.45, dy / length)  # the upper lid shades the eye
    white = look.sclera[0] * lid, look.sclera[1] * vein * lid, look.sclera[2] * vein * lid
    if iris == 0.0:
        return white
    rim = smooth(EYE_IRIS - 0.12, EYE_IRIS, angle)
    pupil = smooth(look.pupil + 0.03, look.pupil - 0.02, angle)
    turn = np.arctan2(dy - length * gaze[1], dx - length * gaze[0])
    rays = noise_at(bank, STRAND, turn * 80.0 + look.shift[0], angle * 100.0)
    share = (1.0 + 0.2 * rays) * (1.0 - 0.55 * rim) * (1.0 - pupil) * lid
    return mixed(white, (look.iris[0] * share + 0.004, look.iris[1] * share + 0.004, look.iris[2] * share + 0.004), iris)
