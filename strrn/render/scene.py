"""One frame: an actor with an expression before a camera, as layers of linear light, with the exact landmarks."""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from strrn.render.camera import Pose
from strrn.render.expression import Expression, Units
from strrn.render.hair import Sheet, rise, sample_brim, sample_sheet, volume
from strrn.render.identity import DetailAxes, Person, detail_axes, sample_person
from strrn.render.landmarks import (
    BROW_ABOVE,
    CONTOUR_POINTS,
    DEPTH_TOLERANCE,
    LandmarkMap,
    SurfacePoints,
    build_landmarks,
    contour,
    on_front,
    visibility,
)
from strrn.render.light import Lights, shadow_maps
from strrn.render.material import CAP, SCARF, TEXTURE_SCALE, Look, sample_look, skin_coordinates
from strrn.render.mesh import BODY, LEFT_EYE, LOWER_TEETH, RIGHT_EYE, TONGUE, UPPER_TEETH, Mesh, open_mesh
from strrn.render.noise import grain_bank, noise_bank, noise_level, noise_levels
from strrn.render.occluder import SHIFT, Glasses, sample_glasses
from strrn.render.parameters import LookParameters
from strrn.render.rasteriser import bounds, finer, rasterise, to_samples, vertex_normals
from strrn.render.shading import AMBIENT, COLUMNS, MASK, NOISE_PLACE, NORMAL, POSED, REST, shade

# Upper lid margins from the outer to the inner corner of the person's right eye, vertices of base.obj: the lashes are painted there.
RIGHT_LID = (4852, 4850, 4849, 4848, 4847, 4865, 4866, 4867)
ORIGIN = np.float32([0, 7.05, 0.75])  # of the actor's space, in the rest pose
TEETH_SUNK = 0.06  # dm: the chin of a child who smiles would let them through
SHADOW_SIZES = 96, 224  # pixels of the shadow map: as many as the head has
EYE_VERTICES = slice(9, 21)  # rows of LandmarkMap.inner that are landmarks 36..47


@dataclass(frozen=True)
class Studio:
    """What all pictures share: the mesh and what is derived from it. surface: (V, COLUMNS) of shading, of the rest pose. sunk: (V,) dm by
    which a vertex counts as farther away than it is."""

    mesh: Mesh
    landmarks: LandmarkMap
    units: Units
    axes: DetailAxes
    triangles: np.ndarray
    group: np.ndarray
    solid: np.ndarray
    surface: np.ndarray
    sunk: np.ndarray
    eye_centres: np.ndarray
    lash_line: np.ndarray
    noise: tuple[np.ndarray, ...]
    grain: np.ndarray


def open_studio(mesh_file: Path) -> Studio:
    return build_studio(open_mesh(mesh_file))


def build_studio(mesh: Mesh) -> Studio:
    seen = mesh.group <= TONGUE
    eyes = [mesh.rest[np.unique(mesh.triangles[mesh.group == eye])].mean(0) for eye in (RIGHT_EYE, LEFT_EYE)]
    right = mesh.rest[mesh.of_base[list(RIGHT_LID)]][:, :2]
    left = (right * [-1, 1])[::-1]
    return Studio(
        mesh=mesh,
        landmarks=build_landmarks(mesh),
        units=Units(mesh),
        axes=detail_axes(mesh),
        triangles=np.ascontiguousarray(mesh.triangles[seen]),
        group=np.ascontiguousarray(mesh.group[seen].astype(np.int32)),
        solid=np.ascontiguousarray(mesh.triangles[mesh.group == BODY]),
        surface=_surface(mesh.rest, mesh.ambient, mesh.masks, skin_coordinates(mesh.rest)),
        sunk=np.isin(np.arange(len(mesh.rest)), mesh.triangles[np.isin(mesh.group, (UPPER_TEETH, LOWER_TEETH))]) * np.float32(TEETH_SUNK),
        eye_centres=np.stack(eyes),
        lash_line=np.stack([right, left]),
        noise=noise_levels(noise_bank()),
        grain=grain_bank(),
    )


def _surface(rest: np.ndarray, ambient: np.ndarray | float, masks: np.ndarray | float, noise_place: np.ndarray) -> np.ndarray:
    surface = np.zeros((len(rest), COLUMNS), np.float32)
    surface[:, REST : REST + 3] = rest
    surface[:, AMBIENT] = ambient
    surface[:, MASK : MASK + 3] = masks
    surface[:, NOISE_PLACE : NOISE_PLACE + 2] = noise_place
    return surface


@dataclass(frozen=True)
class Actor:
    """A person with looks. neutral: (V, 3) float32 vertices about the head's origin. rise: (V, 1) dm of hair, cap or scarf over the skin.
    hair_thickness: dm, on the scalp."""

    person: Person
    look: Look
    neutral: np.ndarray
    brows: SurfacePoints
    rise: np.ndarray
    hair_thickness: float
    sheets: tuple[Sheet, ...]
    glasses: Glasses | None


def sample_actor(rng: np.random.Generator, studio: Studio, parameters: LookParameters) -> Actor:
    """A new identity with its looks. The head's origin is the middle of the eyes and mouth, moved back to the head's axis."""
    mesh = studio.mesh
    person = sample_person(rng, mesh, studio.axes, parameters)
    vertices = mesh.base + person.offsets
    rest_face, face = studio.landmarks.inner.on(mesh.rest), studio.landmarks.inner.on(vertices)
    placed = (vertices - (face - rest_face).mean(0)).astype(np.float32)
    look = sample_look(rng, person, studio.eye_centres, studio.lash_line, parameters)
    female = person.sex < 0.5
    hair = float(rng.choice([0.02, 0.06, 0.12, 0.2]) * rng.uniform(0.5, 1.2)) * look.hair_density
    if look.worn:
        hair = min(hair, 0.05)
    cloth = rng.uniform(0.04, 0.14)
    sheets = []
    if look.worn != SCARF and look.hair_density > 0 and rng.random() < parameters.long_hair * (1.5 if female else 0.35):
        sheets.append(sample_sheet(rng, placed, mesh.rest, hair))
    if look.worn == CAP and rng.random() < 0.6:
        sheets.append(sample_brim(rng, placed, mesh.rest, look.worn_line[0], cloth))
    sheets = tuple(replace(sheet, vertices=sheet.vertices - ORIGIN) for sheet in sheets)
    glasses = sample_glasses(rng, parameters.sunglasses, parameters.reflections) if rng.random() < parameters.glasses else None
    standing = rise(look, mesh.rest, mesh.masks, hair, cloth)
    return Actor(person, look, placed - ORIGIN, _brow_points(studio, look), standing, hair, sheets, glasses)


def _brow_points(studio: Studio, look: Look) -> SurfacePoints:
    """Landmarks 17..26, image left to right, on the painted brows, a little above the middle line."""
    points = np.stack([np.ravel(look.brow_x), np.ravel(look.brow_y) + BROW_ABOVE * look.brow_half], 1).astype(np.float64)
    return on_front(studio.landmarks, points)


@dataclass(frozen=True)
class HeadView:
    """A head in a picture. layer: (H, W, 4) float32 linear RGB, premultiplied, and coverage. points_frame: (68, 2). visible: (68,)."""

    layer: np.ndarray
    points_frame: np.ndarray
    visible: np.ndarray


def landmark_points(studio: Studio, actor: Actor, vertices: np.ndarray, pose: Pose) -> np.ndarray:
    """(68, 3) pixel x, pixel y and depth of the landmarks for head vertices (V, 3) about the origin."""
    rotation = pose.rotation
    fans = pose.project(studio.landmarks.fans.on(vertices) @ rotation.T).astype(np.float64)
    fans[:, 1] *= -1
    jaw = contour(studio.landmarks, fans, pose.tilt)
    jaw[:, 1] *= -1
    inner = pose.project(np.concatenate([actor.brows.on(vertices), studio.landmarks.inner.on(vertices)]) @ rotation.T)
    return np.concatenate([jaw, inner])


def fit_scale(studio: Studio, actor: Actor, pose: Pose, face_pixels: float, origin: tuple[float, float]) -> Pose:
    """The pose at which the larger side of the neutral face's landmark box has face_pixels and its middle lies at `origin` (x, y)."""
    points = landmark_points(studio, actor, actor.neutral, replace(pose, centre=(0.0, 0.0), scale=1.0))[:, :2]
    low, high = points.min(0), points.max(0)
    scale = face_pixels / float((high - low).max())
    middle = (low + high) / 2 * scale
    return replace(pose, scale=scale, centre=(float(origin[0] - middle[0]), float(origin[1] - middle[1])))


def view_head(
    studio: Studio, actor: Actor, expression: Expression, pose: Pose, lights: Lights, height: int, width: int, supersampling: float
) -> HeadView:
    """Render a head into a (height, width) layer. supersampling: samples a pixel along each axis."""
    rotation = pose.rotation
    bare = actor.neutral + studio.units.apply(expression)
    shown = volume(bare, studio.solid, actor.rise) if actor.rise.any() else bare
    posed = shown @ rotation.T
    triangles, group, surfaces = studio.triangles, studio.group, [studio.surface]
    outside = [triangles]  # both sides of a sheet together would cancel each other's normals
    for sheet in actor.sheets:
        faces = sheet.outside + np.int32(len(posed))
        outside.append(faces)
        posed = np.concatenate([posed, sheet.vertices @ rotation.T])
        triangles = np.concatenate([triangles, faces, faces[:, ::-1]])
        group = np.concatenate([group, np.full(2 * len(faces), sheet.group, np.int32)])
        surfaces.append(_surface(sheet.texture, 0.75, 0.0, sheet.texture[:, :2]))
    posed = np.ascontiguousarray(posed, np.float32)
    surface = np.concatenate(surfaces)
    surface[:, NORMAL : NORMAL + 3] = vertex_normals(posed, np.concatenate(outside))
    surface[:, POSED : POSED + 3] = posed
    pixels = pose.project(posed)
    left, top, right, bottom = _region(pixels, height, width)
    corner = np.float32([left, top, 0])
    fine_size, step = finer((bottom - top, right - left), supersampling)
    fine = to_samples(pixels - corner, step)
    depth = pixels[:, 2].copy()
    depth[: len(studio.sunk)] -= studio.sunk
    index, weights, buffer = rasterise(fine, depth, triangles, *fine_size)
    shadows, shadow_depths = shadow_maps(posed, triangles, lights, int(np.clip(bottom - top, *SHADOW_SIZES)))
    view = (0.0, 0.0, 1.0)
    gaze = (_gaze(expression), _gaze(expression))
    fine_picture = shade(
        index,
        weights,
        triangles,
        group,
        surface,
        actor.look,
        gaze,
        _mouth_open(studio, bare),
        _raised_brows(expression),
        lights,
        shadows,
        shadow_depths,
        view,
        noise_level(studio.noise, TEXTURE_SCALE / (pose.scale * supersampling)),
    )
    layer = np.zeros((height, width, 4), np.float32)
    layer[top:bottom, left:right] = cv2.resize(fine_picture, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    if actor.glasses is not None:
        _draw_glasses(layer, studio, actor, bare, pose, lights)
    points = landmark_points(studio, actor, bare, pose)
    fine_points = to_samples(points - corner, step)
    inside = (points[:, 0] >= 0) & (points[:, 0] <= width - 1) & (points[:, 1] >= 0) & (points[:, 1] <= height - 1)
    # Hair stands off the skin that the contour's points lie on, and does not hide the contour.
    tolerance = np.full(len(points), DEPTH_TOLERANCE)
    tolerance[:CONTOUR_POINTS] += actor.hair_thickness
    visible = visibility(fine_points, points[:, 2], buffer, tolerance) & inside
    return HeadView(layer, points[:, :2].astype(np.float32), visible)


def _mouth_open(studio: Studio, vertices: np.ndarray) -> float:
    """0..1: how far the lips are apart (landmarks 62 and 66), against the width of the mouth (48 to 54)."""
    points = studio.landmarks.inner.on(vertices)
    apart = np.linalg.norm(points[62 - 27] - points[66 - 27]) / np.linalg.norm(points[48 - 27] - points[54 - 27])
    return float(np.clip((apart - 0.06) / 0.2, 0.08, 1.0))


def _raised_brows(expression: Expression) -> float:
    """0..1: how far the brows are up, and the forehead in folds."""
    weights = expression.weights
    return max(weights.get("browInnerUp", 0.0), weights.get("browOuterUpLeft", 0.0), weights.get("browOuterUpRight", 0.0))


def _region(pixels: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    low, high = bounds(pixels)
    low, high = np.floor(low).astype(int), np.ceil(high).astype(int) + 1
    left, top = max(0, int(low[0])), max(0, int(low[1]))
    return left, top, max(left + 1, min(width, int(high[0]))), max(top + 1, min(height, int(high[1])))


def _gaze(expression: Expression) -> tuple[float, float, float]:
    side, up = expression.gaze
    return float(np.sin(side) * np.cos(up)), float(np.sin(up)), float(np.cos(side) * np.cos(up))


def _draw_glasses(layer: np.ndarray, studio: Studio, actor: Actor, vertices: np.ndarray, pose: Pose, lights: Lights) -> None:
    """Frames and lenses over the head; a frame is flat enough to be drawn as lines through its projected points."""
    glasses = actor.glasses
    rest_eyes, eyes = studio.landmarks.inner.on(studio.mesh.rest)[EYE_VERTICES], studio.landmarks.inner.on(vertices)[EYE_VERTICES]
    scale = np.ptp(eyes[:, 0]) / np.ptp(rest_eyes[:, 0])

    def placed(points: np.ndarray) -> np.ndarray:
        moved = (points - rest_eyes.mean(0)) * scale + eyes.mean(0)
        return pose.project(np.float32(moved) @ pose.rotation.T)[..., :2]

    height, width = layer.shape[:2]
    one = 1 << SHIFT
    rims = [np.rint(placed(rim) * one).astype(np.int32) for rim in glasses.rims]
    lens = np.zeros((height, width), np.uint8)
    frame = np.zeros((height, width), np.uint8)
    thickness = max(1, round(glasses.width * pose.scale))
    for rim in rims:
        cv2.fillPoly(lens, [rim], 255, cv2.LINE_AA, SHIFT)
        cv2.polylines(frame, [rim], True, 255, thickness, cv2.LINE_AA, SHIFT)
    cv2.polylines(frame, [np.rint(placed(glasses.bridge) * one).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, SHIFT)
    for side, temple in enumerate(glasses.temples):
        # The temple on the far side of a turned head is hidden behind the face.
        if (1 if side else -1) * pose.yaw < 0.2:
            cv2.polylines(frame, [np.rint(placed(temple) * one).astype(np.int32)], False, 255, max(1, thickness - 1), cv2.LINE_AA, SHIFT)
    reflection = np.zeros((height, width), np.uint8)
    if glasses.reflection > 0:
        for pane in glasses.panes:
            cv2.fillPoly(reflection, [np.rint(placed(pane) * one).astype(np.int32)], 255, cv2.LINE_AA, SHIFT)
        reflection &= lens
    brightness = np.float32(lights.sky) + np.float32(0.3) * np.float32(lights.colours[0])
    parts = (lens, glasses.lens, glasses.tint), (reflection, np.float32(1.6), glasses.reflection), (frame, glasses.colour, 1.0)
    for mask, colour, strength in parts:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows) == 0:
            continue
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        share = (mask[part] * np.float32(strength / 255))[..., None]
        layer[part] += share * (np.append(colour * brightness, np.float32(1)) - layer[part])
