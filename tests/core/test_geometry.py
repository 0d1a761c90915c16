import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strrn.core.geometry import CropTransform, bounding_box, box_iou, fit_similarity, mean_shape, resizing

SHAPE = np.array([[0, 0], [10, 0], [10, 6], [3, 9], [0, 4]], np.float64)

transforms = st.builds(
    lambda scale, angle, tx, ty: CropTransform(scale * np.cos(angle), scale * np.sin(angle), tx, ty, 315),
    st.floats(0.05, 20),
    st.floats(-np.pi, np.pi),
    st.floats(-1000, 1000),
    st.floats(-1000, 1000),
)


def test_transform_by_hand() -> None:
    # A quarter turn (x, y) -> (-y, x), doubled, then shifted by (100, 10).
    transform = CropTransform(a=0, b=2, tx=100, ty=10, size=315)
    np.testing.assert_allclose(transform.to_crop(np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 5.0]])), [[100, 12], [98, 10], [90, 16]])
    assert transform.scale == 2
    assert transform.to_crop(np.zeros((4, 7, 2))).shape == (4, 7, 2)


@given(transforms)
def test_crop_and_back(transform: CropTransform) -> None:
    points = np.array([[0, 0], [640, 0], [320.5, 240.25], [-50, 700]])
    crop = transform.to_crop(points)
    # float32 resolves a 17 millionth part of the largest coordinate.
    tolerance = 2e-7 * (np.abs(crop).max() + abs(transform.tx) + abs(transform.ty)) / transform.scale + 1e-4
    np.testing.assert_allclose(transform.to_frame(crop), points, atol=tolerance, rtol=0)


@given(transforms, transforms)
@settings(max_examples=50)
def test_then_is_one_after_the_other(first: CropTransform, second: CropTransform) -> None:
    full = np.vstack([second.matrix, [0, 0, 1]]) @ np.vstack([first.matrix, [0, 0, 1]])
    np.testing.assert_allclose(first.then(second).matrix, full[:2], rtol=1e-9, atol=1e-6)


@given(transforms)
@settings(max_examples=50)
def test_fit_finds_the_transform_that_made_the_points(transform: CropTransform) -> None:
    target = SHAPE @ transform.matrix[:, :2].T + transform.matrix[:, 2]
    fitted = fit_similarity(SHAPE, target, 315)
    np.testing.assert_allclose(fitted.matrix, transform.matrix, rtol=1e-6, atol=1e-6)


def test_fit_is_the_least_squares_solution() -> None:
    rng = np.random.default_rng(0)
    target = 3 * SHAPE + rng.normal(size=SHAPE.shape)
    # The same problem as a linear system in a, b, tx, ty, solved by numpy.
    ones, zeros = np.ones(len(SHAPE)), np.zeros(len(SHAPE))
    system = np.vstack(
        [np.stack([SHAPE[:, 0], -SHAPE[:, 1], ones, zeros], 1), np.stack([SHAPE[:, 1], SHAPE[:, 0], zeros, ones], 1)],
    )
    expected = np.linalg.lstsq(system, np.concatenate([target[:, 0], target[:, 1]]), rcond=None)[0]
    fitted = fit_similarity(SHAPE, target, 315)
    np.testing.assert_allclose([fitted.a, fitted.b, fitted.tx, fitted.ty], expected, rtol=1e-9)


def test_fit_never_reflects() -> None:
    matrix = fit_similarity(SHAPE, SHAPE * [-1, 1], 315).matrix
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize("source", [np.ones((5, 2)), np.full((5, 2), np.nan)])
def test_points_that_coincide_are_refused(source: np.ndarray) -> None:
    with pytest.raises(ValueError, match="5 source points coincide or are not finite"):
        fit_similarity(source, SHAPE, 315)


@pytest.mark.parametrize("scale", [0.4, 0.7, 1.0, 2.5])
def test_pixels_move_as_points_do(scale: float) -> None:
    """A bright spot in the frame is found in the crop where its centre is mapped to: no half-pixel shift."""
    centre = np.array([[140.0, 90.0]])
    y, x = np.mgrid[:240, :320]
    spot = 255 * np.exp(-((x - centre[0, 0]) ** 2 + (y - centre[0, 1]) ** 2) / (2 * 6**2))
    frame = np.repeat(np.round(spot).astype(np.uint8)[..., None], 3, -1)
    angle = 0.3
    transform = CropTransform(scale * np.cos(angle), scale * np.sin(angle), 60.3 - 40 * scale, 70.6 - 90 * scale, 315)
    crop = transform.crop(frame)
    assert crop.shape == (315, 315, 3) and crop.dtype == np.uint8
    moments = cv2.moments(crop[..., 0])
    found = np.array([[moments["m10"], moments["m01"]]]) / moments["m00"]
    np.testing.assert_allclose(found, transform.to_crop(centre), atol=0.05)


def test_outside_of_the_frame_is_black() -> None:
    crop = CropTransform(1, 0, 100, 100, 315).crop(np.full((50, 60, 3), 200, np.uint8))
    assert (crop[100:150, 100:160] == 200).all()
    assert crop.astype(int).sum() == 50 * 60 * 3 * 200


@pytest.mark.parametrize("scale", [0.22, 0.34, 0.5, 0.8, 1.5])
def test_a_crop_shows_what_lies_at_its_points(scale: float) -> None:
    y, x = np.mgrid[:480, :640]
    ramp = np.stack([x * 0.3, y * 0.4, np.full_like(x, 50)], -1).astype(np.float32)
    angle = 0.3
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    transform = CropTransform(a, b, 32 - a * 300 + b * 220, 32 - b * 300 - a * 220, 64)  # frame (300, 220) -> crop (32, 32)
    crop = transform.crop(ramp)
    points = np.stack(np.meshgrid(np.arange(20, 45), np.arange(20, 45)), -1).reshape(-1, 2)
    expected = transform.to_frame(points) * [0.3, 0.4]
    np.testing.assert_allclose(crop[points[:, 1], points[:, 0], :2], expected, atol=0.1)  # warpAffine knows 32 places between pixels


def test_a_large_face_is_averaged_and_not_picked_pixel_by_pixel() -> None:
    random = np.random.default_rng(0)
    frame = random.integers(0, 256, (600, 800, 3), dtype=np.uint8)
    crop = CropTransform(0.2, 0.05, -20.0, -30.0, 100).crop(frame)
    assert crop[30:70, 30:70].std() < 0.35 * frame.std()


def test_a_crop_beside_a_large_frame_is_black() -> None:
    assert not CropTransform(0.2, 0.0, 500.0, 0.0, 64).crop(np.full((300, 300, 3), 255, np.uint8)).any()


def test_mean_shape_is_centred_and_fills_the_crop() -> None:
    mean = mean_shape(np.stack([SHAPE, SHAPE * 2 + 5]), 315, 0.62)
    assert mean.dtype == np.float32
    low, high = mean.min(0), mean.max(0)
    np.testing.assert_allclose((high - low).max(), 0.62 * 315, rtol=1e-5)
    np.testing.assert_allclose((low + high) / 2, [157, 157], atol=1e-3)  # centre of pixels 0..314


def test_mean_shape_ignores_position_size_and_opposite_turns() -> None:
    turned = [CropTransform(s * np.cos(r), s * np.sin(r), 7, -3, 315).to_crop(SHAPE) for r, s in ((0.4, 1.0), (-0.4, 3.0))]
    np.testing.assert_allclose(mean_shape(np.stack(turned), 315, 0.5), mean_shape(SHAPE[None], 315, 0.5), atol=1e-2)


def test_mean_shape_leaves_out_incomplete_shapes() -> None:
    incomplete = SHAPE * 5 + np.array([1, 0]) * SHAPE**2
    incomplete[2, 0] = np.nan
    np.testing.assert_array_equal(mean_shape(np.stack([SHAPE, incomplete]), 315, 0.5), mean_shape(SHAPE[None], 315, 0.5))
    with pytest.raises(ValueError, match="no fully labelled shape"):
        mean_shape(incomplete[None], 315, 0.5)


def test_bounding_box_of_the_finite_points() -> None:
    points = np.array([[1, 9], [np.nan, np.nan], [4, 2]], np.float32)
    np.testing.assert_array_equal(bounding_box(points), [1, 2, 4, 9])
    assert np.isnan(bounding_box(points[1:2])).all()


@pytest.mark.parametrize(
    ("second", "expected"),
    [([0, 0, 4, 4], 1.0), ([2, 0, 6, 4], 8 / 24), ([4, 0, 8, 4], 0.0), ([9, 9, 12, 12], 0.0), ([1, 1, 3, 3], 4 / 16)],
)
def test_iou_by_hand(second: list[float], expected: float) -> None:
    first = np.array([0, 0, 4, 4], np.float32)
    assert box_iou(first, np.array(second, np.float32)) == pytest.approx(expected)


def test_iou_of_boxes_without_area_is_zero() -> None:
    assert box_iou(np.array([3.0, 3, 3, 3]), np.array([3.0, 3, 3, 3])) == 0


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("scale", [0.4, 0.75, 1.3])
def test_a_coarser_crop_is_the_same_view(stride, scale):
    """The colours of the picture are its coordinates; a pixel has those of the middle of the block that it stands for."""
    y, x = np.mgrid[:200, :200].astype(np.float32)  # whole numbers would be rounded
    transform = CropTransform(scale * np.cos(0.2), scale * np.sin(0.2), 10.3, -8.7, 90)
    coarse = transform.crop(np.stack([x, y, x], -1), stride)
    assert coarse.shape == (90 // stride, 90 // stride, 3)
    rows, columns = np.mgrid[2 : 90 // stride - 2, 2 : 90 // stride - 2]
    places = transform.to_frame(np.stack([columns, rows], -1) * stride + (stride - 1) / 2)
    inside = ((places > 14) & (places < 185)).all(-1)  # away from the black around
    assert inside.sum() > 50
    # warpAffine's coordinates are whole 32nds of a pixel, here of one that is up to ten wide.
    np.testing.assert_allclose(coarse[rows, columns][inside][:, :2], places[inside], atol=0.4)
    assert np.abs((coarse[rows, columns][inside][:, :2] - places[inside]).mean(0)).max() < 0.05


def test_resizing_keeps_the_corner_of_the_picture():
    half = resizing(0.5, 45)
    np.testing.assert_allclose(half.to_crop(np.array([[-0.5, -0.5], [0.5, 2.5]])), [[-0.5, -0.5], [0.0, 1.0]], atol=1e-6)
