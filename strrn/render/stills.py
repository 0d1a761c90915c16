"""Labelled stills: pictures of one identity differ in all but the person."""

from typing import NamedTuple

import numpy as np

from strrn.core.images import encode_jpeg
from strrn.render.background import sample_background
from strrn.render.camera import Pose, develop, exposure, over, sample_sensor
from strrn.render.expression import sample_expression
from strrn.render.light import sample_lights
from strrn.render.occluder import occluder_layer, sample_occluder
from strrn.render.parameters import RenderParameters
from strrn.render.scene import Actor, Studio, fit_scale, sample_actor, view_head

OCCLUDED = 0.5  # coverage from which a landmark counts as hidden


class Still(NamedTuple):
    image: bytes
    points_frame: np.ndarray
    visible: np.ndarray


def render_identity(studio: Studio, parameters: RenderParameters, seed: np.random.SeedSequence, count: int) -> list[Still]:
    """`count` stills of a new identity: a pure function of the parameters and the seed."""
    actor_seed, *still_seeds = seed.spawn(1 + count)
    actor = sample_actor(np.random.default_rng(actor_seed), studio, parameters.look)
    return [render_still(studio, actor, parameters, np.random.default_rng(still_seed)) for still_seed in still_seeds]


def sample_pose(rng: np.random.Generator, parameters: RenderParameters) -> Pose:
    """Orientation and distance of a still; where and how large is up to fit_scale."""
    view = parameters.view
    yaw = rng.normal(0, view.yaw) if rng.random() >= view.wide_yaw else rng.uniform(-view.yaw_limit, view.yaw_limit)
    yaw = np.radians(np.clip(yaw, -view.yaw_limit, view.yaw_limit))
    pitch = np.radians(np.clip(rng.normal(2, view.pitch), -2.5 * view.pitch, 2.5 * view.pitch))
    roll = np.radians(np.clip(rng.normal(0, view.roll), -2.5 * view.roll, 2.5 * view.roll))
    return Pose(float(yaw), float(pitch), float(roll), (0.0, 0.0), 1.0, float(np.exp(rng.uniform(*np.log(view.distance)))))


def render_still(studio: Studio, actor: Actor, parameters: RenderParameters, rng: np.random.Generator) -> Still:
    stills, view = parameters.stills, parameters.view
    face = rng.uniform(*stills.face_pixels)
    margin = max(0.0, 1 - 1.15 * face / min(stills.height, stills.width)) / 2
    origin = np.array([stills.width, stills.height]) * (0.5 + rng.uniform(-margin, margin, 2))
    pose = fit_scale(studio, actor, sample_pose(rng, parameters), face, tuple(origin))
    lights = sample_lights(rng, view)
    expression = sample_expression(rng, parameters.look)
    head = view_head(studio, actor, expression, pose, lights, stills.height, stills.width, parameters.supersampling)
    light = sample_background(rng, stills.height, stills.width, studio.noise[0]) * np.float32(rng.uniform(0.4, 1.4))
    gain = exposure(head.layer, rng)
    light /= np.float32(gain)  # the background is drawn as the camera sees it; the head's gain must not change it
    light = over(head.layer, light)
    visible = head.visible
    if rng.random() < view.occluders:
        thing = sample_occluder(rng, np.array(actor.look.skin), (0.12, 0.45), view.hands)
        at = head.points_frame[rng.integers(len(head.points_frame))] + rng.normal(0, 0.12, 2) * face
        layer = occluder_layer(thing, at, face, lights, studio.noise[0], stills.height, stills.width)
        light = over(layer, light)
        visible = visible & ~hidden_by(layer[..., 3], head.points_frame)
    sensor = sample_sensor(rng, gain, tuple(view.blur), tuple(view.noise), view.low_resolution, view.grey)
    picture = develop(light, sensor, rng, studio.grain)
    return Still(encode_jpeg(picture, int(rng.integers(stills.jpeg_quality[0], stills.jpeg_quality[1] + 1))), head.points_frame, visible)


def hidden_by(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N,) bool: points (N, 2) that a coverage mask (H, W) hides; points outside it are not hidden by it."""
    height, width = mask.shape
    x, y = np.rint(points[:, 0]).astype(int), np.rint(points[:, 1]).astype(int)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    hidden = np.zeros(len(points), bool)
    hidden[inside] = mask[y[inside], x[inside]] > OCCLUDED
    return hidden
