"""One frame: an actor with an expression before a camera, as layers of linear light, with the exact landmarks."""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from strrn.render.camera import Pose
from strrn.render.expression import Expression, Units
from strrn.render.hair import HairSheet, sample_sheet, volume
from strrn.render.identity import DetailAxes, Person, detail_axes, sample_person
from strrn.render.landmarks import (
    BROW_ABOVE,
    DEPTH_TOLERANCE,
    LandmarkMap,
    SurfacePoints,
    build_landmarks,
    contour,
    on_front,
    visibility,
)
from strrn.render.light import Lights, shadow_map
from strrn.render.material import TEXTURE_SCALE, Look, sample_look
from strrn.render.mesh import BODY, LEFT_EYE, RIGHT_EYE, TONGUE, Mesh, open_mesh
from strrn.render.noise import grain_bank, noise_bank, noise_level, noise_levels
from strrn.render.occluder import SHIFT, Glasses, sample_glasses
from strrn.render.parameters import LookParameters
from strrn.render.rasteriser import rasterise, vertex_normals
from strrn.render.shading import HAIR_SHEET, shade

# Upper lid margins from the outer to the inner corner of the person's right eye, vertices of base.obj: the lashes are painted there.
RIGHT_LID = (4852, 4850, 4849, 4848, 4847, 4865, 4866, 4867)
SHADOW_SIZES = 96, 224  # pixels of the shadow map: as many as the head has
EYE_VERTICES = slice(9, 21)  # rows of LandmarkMap.inner that are landmarks 36..47


@dataclass(frozen=True)
class Studio:
    """What all pictures share: the mesh and what is derived from it."""

    mesh: Mesh
    landmarks: LandmarkMap
    units: Units
    axes: DetailAxes
    triangles: np.ndarray
    group: np.ndarray
    solid: np.ndarray
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
        eye_centres=np.stack(eyes),
        lash_line=np.stack([right, left]),
        noise=noise_levels(noise_bank()),
        grain=grain_bank(),
    )


@dataclass(frozen=True)
class Actor:
    """A person with looks. neutral: (V, 3) float32 vertices about the head's origin. hair_thickness: dm on the scalp."""

    person: Person
    look: Look
    neutral: np.ndarray
    brows: SurfacePoints
    hair_thickness: float
    sheet: HairSheet | None
    glasses: Glasses | None


def sample_actor(rng: np.random.Generator, studio: Studio, parameters: LookParameters) -> Actor:
    """A new identity with its looks. The head's origin is the middle of the eyes and mouth, moved back to the head's axis."""
    mesh = studio.mesh
    person = sample_person(rng, mesh, studio.axes, parameters.detail, parameters.asymmetry)
    vertices = mesh.base + person.offsets
    rest_face, face = studio.landmarks.inner.on(mesh.rest), studio.landmarks.inner.on(vertices)
    shift = (face - rest_face).mean(0)
    neutral = (vertices - shift - np.float32([0, 7.05, 0.75])).astype(np.float32)
    look = sample_look(rng, person, studio.eye_centres, studio.lash_line, parameters.beards)
    female = person.sex < 0.5
    thickness = float(rng.choice([0.02, 0.06, 0.12, 0.2]) * rng.uniform(0.5, 1.2)) * look.hair_density
    long_hair = look.hair_density > 0 and rng.random() < parameters.long_hair * (1.5 if female else 0.35)
    sheet = sample_sheet(rng, neutral + np.float32([0, 7.05, 0.75]), mesh.rest, thickness) if long_hair else None
    if sheet is not None:
        sheet = replace(sheet, vertices=sheet.vertices - np.float32([0, 7.05, 0.75]))
    glasses = sample_glasses(rng, parameters.sunglasses) if rng.random() < parameters.glasses else None
    return Actor(person, look, neutral, _brow_points(studio, look), thickness, sheet, glasses)


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
    mesh, rotation = studio.mesh, pose.rotation
    bare = actor.neutral + studio.units.apply(expression)
    shown = (
        bare if actor.hair_thickness == 0 else volume(bare, mesh.rest, studio.solid, mesh.masks, actor.look.hairline, actor.hair_thickness)
    )
    posed = shown @ rotation.T
    triangles, group, rest, masks, ambient = studio.triangles, studio.group, mesh.rest, mesh.masks, mesh.ambient
    if actor.sheet is not None:
        count = len(posed)
        posed = np.concatenate([posed, actor.sheet.vertices @ rotation.T])
        triangles = np.concatenate([triangles, actor.sheet.triangles + np.int32(count)])
        group = np.concatenate([group, np.full(len(actor.sheet.triangles), HAIR_SHEET, np.int32)])
        rest = np.concatenate([rest, actor.sheet.texture])
        masks = np.concatenate([masks, np.zeros((len(actor.sheet.texture), 3), np.float32)])
        ambient = np.concatenate([ambient, np.full(len(actor.sheet.texture), 0.75, np.float32)])
    posed = np.ascontiguousarray(posed, np.float32)
    normals = vertex_normals(posed, triangles if actor.sheet is None else np.concatenate([studio.triangles, _outside(actor, len(shown))]))
    pixels = pose.project(posed)
    left, top, right, bottom = _region(pixels, height, width)
    step = np.float32(supersampling)
    fine = np.ascontiguousarray((pixels[:, :2] - np.float32([left, top]) + np.float32(0.5)) * step - np.float32(0.5))
    fine_height, fine_width = round((bottom - top) * supersampling), round((right - left) * supersampling)
    depth = np.ascontiguousarray(pixels[:, 2])
    index, weights, buffer = rasterise(fine, depth, triangles, fine_height, fine_width)
    shadow, shadow_depth = shadow_map(posed, triangles, lights.directions[0], int(np.clip(bottom - top, *SHADOW_SIZES)))
    view = (0.0, 0.0, 1.0)
    gaze = (_gaze(expression), _gaze(expression))
    fine_picture = shade(
        index,
        weights,
        triangles,
        group,
        rest,
        posed,
        normals,
        ambient,
        masks,
        actor.look,
        gaze,
        _mouth_open(studio, bare),
        lights,
        shadow,
        shadow_depth,
        view,
        noise_level(studio.noise, TEXTURE_SCALE / (pose.scale * supersampling)),
    )
    layer = np.zeros((height, width, 4), np.float32)
    layer[top:bottom, left:right] = cv2.resize(fine_picture, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    if actor.glasses is not None:
        _draw_glasses(layer, studio, actor, bare, pose, lights)
    points = landmark_points(studio, actor, bare, pose)
    fine_points = (points[:, :2] - [left, top] + 0.5) * supersampling - 0.5
    inside = (points[:, 0] >= 0) & (points[:, 0] <= width - 1) & (points[:, 1] >= 0) & (points[:, 1] <= height - 1)
    visible = visibility(fine_points, points[:, 2], buffer, DEPTH_TOLERANCE + actor.hair_thickness) & inside
    return HeadView(layer, points[:, :2].astype(np.float32), visible)


def _mouth_open(studio: Studio, vertices: np.ndarray) -> float:
    """0..1: how far the lips are apart (landmarks 62 and 66), against the width of the mouth (48 to 54)."""
    points = studio.landmarks.inner.on(vertices)
    apart = np.linalg.norm(points[62 - 27] - points[66 - 27]) / np.linalg.norm(points[48 - 27] - points[54 - 27])
    return float(np.clip((apart - 0.06) / 0.2, 0.08, 1.0))


def _outside(actor: Actor, count: int) -> np.ndarray:
    """The outward half of the hair sheet's triangles: both halves together would cancel each other's normals."""
    return actor.sheet.triangles[: len(actor.sheet.triangles) // 2] + np.int32(count)


def _region(pixels: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    low, high = np.floor(pixels[:, :2].min(0)).astype(int), np.ceil(pixels[:, :2].max(0)).astype(int) + 1
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
    brightness = np.float32(lights.sky) + np.float32(0.3) * np.float32(lights.colours[0])
    for mask, colour, strength in ((lens, glasses.lens, glasses.tint), (frame, glasses.colour, 1.0)):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows) == 0:
            continue
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        share = (mask[part] * np.float32(strength / 255))[..., None]
        layer[part] += share * (np.append(colour * brightness, np.float32(1)) - layer[part])
