import pytest

from segmentation.inference.test_time_augmentation import View, Views


def test_views_of_a_size():
    """Each scale comes as it is and flipped."""
    views = Views(scales=[0.5, 2.0])
    assert views.of((30, 40)) == [
        View((15, 20), False),
        View((15, 20), True),
        View((60, 80), False),
        View((60, 80), True),
    ]


def test_views_without_flip():
    """Flipping can be left out."""
    assert Views(scales=(1.0,), flip=False).of((30, 40)) == [View((30, 40), False)]


def test_no_view_is_smaller_than_a_patch():
    """A small image is not shrunk to nothing."""
    assert Views(scales=[0.5], flip=False).of((5, 400)) == [View((4, 200), False)]


@pytest.mark.parametrize("scales", [[], [1.0, 0.0], [-0.5]])
def test_scales_out_of_range(scales):
    """At least one scale is needed, and positive ones."""
    with pytest.raises(ValueError, match="scales must be positive, and at least one"):
        Views(scales=scales)
