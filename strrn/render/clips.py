"""Labelled clips: one actor, a moving head, motion blur along the true motion, things that pass, light that changes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from strrn.core.geometry import fit_similarity
from strrn.render.background import sample_background
from strrn.render.camera import Pose, Sensor, develop, exposure, over, sample_sensor
from strrn.render.light import Lights, sample_lights
from strrn.render.motion import Degree, Movement, Passing, sample_acting, sample_movement, sample_passing
from strrn.render.occluder import Occluder, occluder_layer, sample_occluder
from strrn.render.parameters import MotionParameters, RenderParameters
from strrn.render.scene import HeadView, Studio, fit_scale, landmark_points, sample_actor, view_head
from strrn.render.stills import hidden_by

YAW_LIMIT = 0.6  # radians, of a moving head
MAX_SHUTTER_SAMPLES = 9
CAMERA_PERIODS = np.array([29.0, 37.0, 11.0])  # of exposure, white balance and focus, frames a radian
FOCUS_LOST = 3.0  # pixels of blur when the camera wanders as far as it can


class Frame(NamedTuple):
    picture: np.ndarray
    points_frame: np.ndarray
    visible: np.ndarray


class Performer(NamedTuple):
    """What a clip films. points: (time, pose) -> (L, 2) pixels; view: (time, pose, lights) -> HeadView; skin: (3,) linear RGB."""

    points: Callable[[float, Pose], np.ndarray]
    view: Callable[[float, Pose, Lights], HeadView]
    skin: np.ndarray


@dataclass(frozen=True)
class Shot:
    """Everything but the performer: how camera, light and things behave over time."""

    rest: Pose
    face: float
    movement: Movement
    shutter: float
    lights: Lights
    light_change: float
    light_phase: tuple[float, float]
    background: np.ndarray
    passing: Passing | None
    thing: Occluder
    sensor: Sensor
    camera_change: float
    camera_phase: np.ndarray
    shake: np.ndarray

    def pose(self, time: float) -> Pose:
        move = self.movement.at(time)
        shake = self.shaken(time)
        centre = np.array(self.rest.centre) + move[[Degree.x, Degree.y]] * self.face + shake
        return replace(
            self.rest,
            yaw=self.rest.yaw + move[Degree.yaw],
            pitch=self.rest.pitch + move[Degree.pitch],
            roll=self.rest.roll + move[Degree.roll],
            centre=(float(centre[0]), float(centre[1])),
            scale=self.rest.scale * float(np.exp(move[Degree.size])),
        )

    def shaken(self, time: float) -> np.ndarray:
        """(2,) pixels by which a hand-held camera moves everything."""
        return (np.sin(self.shake[..., 0] + self.shake[..., 1] * time) * self.shake[..., 2]).sum(1)

    def lights_at(self, time: float) -> Lights:
        """The lamp swings and everything gets brighter and darker, by light_change."""
        swing = self.light_change * np.sin(self.light_phase[0] + time / 17)
        level = float(1 + 0.8 * self.light_change * np.sin(self.light_phase[1] + time / 23))
        x, y, z = self.lights.directions[0]
        cosine, sine = float(np.cos(swing)), float(np.sin(swing))
        turned = (cosine * x + sine * z, y, cosine * z - sine * x)
        return self.lights._replace(
            directions=(turned, *self.lights.directions[1:]),
            colours=tuple(tuple(value * level for value in colour) for colour in self.lights.colours),
            sky=tuple(value * level for value in self.lights.sky),
            ground=tuple(value * level for value in self.lights.ground),
        )

    def sensor_at(self, time: float, gain: float) -> Sensor:
        """Exposure and white balance wander, focus is lost and found again, by camera_change."""
        brighter, warmer, softer = self.camera_change * np.sin(self.camera_phase + time / CAMERA_PERIODS)
        red, green, blue = self.sensor.tint
        tint = (red * float(np.exp(0.15 * warmer)), green, blue * float(np.exp(-0.15 * warmer)))
        blur = self.sensor.blur + FOCUS_LOST * max(float(softer), 0.0) ** 2
        return replace(self.sensor, gain=gain * float(np.exp(0.5 * brighter)), tint=tint, blur=blur)


def sample_shot(
    rng: np.random.Generator,
    parameters: RenderParameters,
    motion: MotionParameters,
    num_frames: int,
    rest: Pose,
    face: float,
    skin: np.ndarray,
    bank: np.ndarray,
    yaw_limit: float,
) -> Shot:
    """rest: pose around which the head moves; face: its size in pixels; yaw_limit: radians of turning about it."""
    height, width = parameters.clips.height, parameters.clips.width
    # Larger than the frame by a margin, for the shaking of the camera.
    background = sample_background(rng, height + 32, width + 32, bank)
    shake = np.stack([rng.uniform(0, 6.28, (2, 3)), rng.uniform(0.05, 0.6, (2, 3)), rng.uniform(0, 0.8, (2, 3)) * rng.integers(0, 2)], -1)
    speed = rng.uniform(*motion.speed)
    return Shot(
        rest=rest,
        face=face,
        movement=sample_movement(rng, num_frames, speed, yaw_limit),
        shutter=float(rng.uniform(*motion.shutter)),
        lights=sample_lights(rng, parameters.view),
        light_change=float(rng.uniform(*motion.light)),
        light_phase=(float(rng.uniform(0, 6.28)), float(rng.uniform(0, 6.28))),
        background=background,
        passing=sample_passing(rng, num_frames) if rng.random() < motion.occluders else None,
        thing=sample_occluder(rng, skin, (0.2, 0.6), parameters.view.hands),
        sensor=sample_sensor(rng, 1.0, tuple(motion.blur), tuple(motion.noise), motion.low_resolution, parameters.view.grey),
        camera_change=float(rng.uniform(*motion.camera)),
        camera_phase=rng.uniform(0, 2 * np.pi, 3),
        shake=shake,
    )


def render_clip(
    studio: Studio, parameters: RenderParameters, motion: MotionParameters, seed: np.random.SeedSequence, num_frames: int
) -> Iterator[Frame]:
    """Frames of a new identity: a pure function of the parameters and the seed."""
    rng = np.random.default_rng(seed)
    clips = parameters.clips
    actor = sample_actor(rng, studio, parameters.look)
    face = float(rng.uniform(*clips.face_pixels))
    turned = Pose(0.0, 0.05, 0.0, (0.0, 0.0), 1.0, float(rng.uniform(8, 22)))
    middle = (clips.width * rng.uniform(0.42, 0.58), clips.height * rng.uniform(0.46, 0.56))
    rest = fit_scale(studio, actor, turned, face, middle)
    acting = sample_acting(rng, num_frames, clips.fps, parameters.look.expression)
    shot = sample_shot(rng, parameters, motion, num_frames, rest, face, np.array(actor.look.skin), studio.noise[0], YAW_LIMIT)

    def points(time: float, pose: Pose) -> np.ndarray:
        vertices = actor.neutral + studio.units.apply(acting.at(time))
        return landmark_points(studio, actor, vertices, pose)[:, :2]

    def view(time: float, pose: Pose, lights: Lights) -> HeadView:
        return view_head(studio, actor, acting.at(time), pose, lights, clips.height, clips.width, parameters.supersampling)

    yield from film(Performer(points, view, np.array(actor.look.skin)), shot, num_frames, rng, studio.noise[0], studio.grain)


def film(
    performer: Performer, shot: Shot, num_frames: int, rng: np.random.Generator, bank: np.ndarray, grain: np.ndarray
) -> Iterator[Frame]:
    """The frames of a shot. The truth of a frame is where the points are in the middle of its exposure."""
    gain = None
    background_gain = float(rng.uniform(0.5, 1.3))
    for number in range(num_frames):
        pose, lights = shot.pose(number), shot.lights_at(number)
        head = performer.view(number, pose, lights)
        if gain is None:
            gain = exposure(head.layer, rng)
        level = float(np.mean(lights.sky) / max(np.mean(shot.lights.sky), 1e-6))
        layer = _blurred(head, performer, shot, number)
        light = _background(shot, number, layer.shape) * np.float32(background_gain / gain * level)
        light = over(layer, light)
        visible = head.visible
        thing = _passing_layer(shot, number, lights, bank, layer.shape)
        if thing is not None:
            light = over(thing, light)
            visible = visible & ~hidden_by(thing[..., 3], head.points_frame)
        yield Frame(develop(light, shot.sensor_at(number, gain), rng, grain), head.points_frame, visible)


def _background(shot: Shot, time: float, shape: tuple[int, ...]) -> np.ndarray:
    shift = shot.shaken(time) - 16
    return cv2.warpAffine(
        shot.background, np.float64([[1, 0, shift[0]], [0, 1, shift[1]]]), (shape[1], shape[0]), borderMode=cv2.BORDER_REPLICATE
    )


def _blurred(head: HeadView, performer: Performer, shot: Shot, time: float) -> np.ndarray:
    """The head's layer, averaged along its motion while the shutter is open: the similarity that fits the landmarks' true motion."""
    if shot.shutter == 0:
        return head.layer
    here = head.points_frame.astype(np.float64)
    edges = [performer.points(time + side * shot.shutter / 2, shot.pose(time + side * shot.shutter / 2)) for side in (-1, 1)]
    largest = max(np.abs(edge - here).max() for edge in edges)
    if largest < 0.35:
        return head.layer
    half = min(int(np.ceil(largest / 1.2)), MAX_SHUTTER_SAMPLES // 2)
    total = head.layer.copy()
    for edge in edges:
        full = fit_similarity(here, edge, 1).matrix - np.eye(2, 3)
        for step in range(1, half + 1):
            matrix = np.eye(2, 3) + full * (step / (half + 0.5))
            total += cv2.warpAffine(head.layer, matrix, head.layer.shape[1::-1])
    total /= np.float32(2 * half + 1)
    return total


def _passing_layer(shot: Shot, time: float, lights: Lights, bank: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """What passes, (H, W, 4), blurred by its motion; None while nothing does."""
    if shot.passing is None or shot.passing.at(time) is None:
        return None
    places = [shot.passing.at(time + part * shot.shutter) for part in (-0.5, -0.25, 0.0, 0.25, 0.5)]
    origins = [np.array(shot.rest.centre) + at * shot.face for at in places if at is not None]
    layers = [occluder_layer(shot.thing, origin, shot.face, lights, bank, shape[0], shape[1]) for origin in origins]
    return np.mean(layers, 0)
