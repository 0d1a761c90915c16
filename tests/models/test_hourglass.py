import torch

from strrn.models.hourglass import HeatmapCodec


def test_decoding_a_rendered_heatmap_gives_the_point_back():
    codec = HeatmapCodec(crop_size=315, size=64, sigma=1.5)
    points = torch.rand(5, 68, 2, generator=torch.Generator().manual_seed(0)) * 295 + 10
    decoded, peak = codec.decode(codec.encode(points))
    torch.testing.assert_close(decoded, points, atol=1e-3, rtol=0)
    assert (peak > 0.7).all()


def test_cells_and_crop_pixels_meet_at_the_borders():
    # 4 cells over 8 pixels: cell 0 covers pixels 0 and 1, its centre lies at 0.5 (METHODS 6: (x + 0.5) * stride - 0.5).
    codec = HeatmapCodec(crop_size=8, size=4, sigma=1.0)
    torch.testing.assert_close(codec.to_crop(torch.tensor([0.0, 3.0])), torch.tensor([0.5, 6.5]))
    torch.testing.assert_close(codec.to_heatmap(codec.to_crop(torch.tensor([1.25]))), torch.tensor([1.25]))


def test_an_empty_map_and_a_maximum_on_the_rim_are_decoded_finite():
    codec = HeatmapCodec(crop_size=64, size=16, sigma=1.0)
    heatmaps = torch.zeros(1, 2, 16, 16)
    heatmaps[0, 1, 0, 15] = 1.0
    points, peak = codec.decode(heatmaps)
    assert torch.isfinite(points).all()
    assert peak.tolist() == [[0.0, 1.0]]
    assert points[0, 1, 0] > 48
    assert points[0, 1, 1] < 16
