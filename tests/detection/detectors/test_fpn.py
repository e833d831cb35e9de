import torch

from detection.detectors.fpn import FPN


def backbone_maps(sizes, channels=(4, 6, 8, 10)):
    """Random maps of a batch of two."""
    return [torch.randn(2, c, *size) for c, size in zip(channels, sizes, strict=True)]


def test_levels_have_one_width_and_the_added_one_is_half_as_fine():
    """Four maps give five levels of the asked width, each at its stride."""
    fpn = FPN((4, 6, 8, 10), (4, 8, 16, 32), channels=12)
    levels = fpn(backbone_maps([(16, 24), (8, 12), (4, 6), (2, 3)]))
    assert [tuple(x.shape) for x in levels] == [(2, 12, h, w) for h, w in [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]]
    assert fpn.strides == [4, 8, 16, 32, 64]


def test_odd_maps_are_doubled_and_cut():
    """On the way down a map goes to the next one cell by cell, also where that has an odd size."""
    fpn = FPN((4, 6, 8, 10), (4, 8, 16, 32), channels=12)
    maps = backbone_maps([(25, 33), (13, 17), (7, 9), (4, 5)])
    merged = fpn.inner_blocks[3](maps[3])
    for level in (2, 1, 0):
        lateral = fpn.inner_blocks[level](maps[level])
        doubled = merged.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        merged = lateral + doubled[..., : lateral.shape[2], : lateral.shape[3]]
        torch.testing.assert_close(fpn(maps)[level], fpn.layer_blocks[level](merged))


def test_map_of_one_cell_is_enough():
    """The pyramid of the smallest image there is."""
    levels = FPN((4, 6), (4, 8), channels=12)([torch.randn(1, 4, 1, 1), torch.randn(1, 6, 1, 1)])
    assert [tuple(x.shape) for x in levels] == [(1, 12, 1, 1)] * 3


def test_added_level_takes_every_second_cell():
    """The coarsest level is the one before it, subsampled."""
    levels = FPN((4, 6, 8, 10), (4, 8, 16, 32), channels=12)(backbone_maps([(40, 40), (20, 20), (10, 10), (5, 5)]))
    assert torch.equal(levels[4], levels[3][:, :, ::2, ::2])
