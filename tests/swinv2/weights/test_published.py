import pytest

from swinv2.variants import VARIANTS
from swinv2.weights.published import PRETRAINED, weights_url

RELEASE = "https://github.com/SwinTransformer/storage/releases/download/v2.0.0/"


def test_every_released_model_has_an_address():
    """All models but huge and giant are published, each under its own name."""
    assert set(PRETRAINED) == {name for name in VARIANTS if "huge" not in name and "giant" not in name}


@pytest.mark.parametrize(
    ("name", "tag", "file"),
    [
        ("swinv2_tiny_window8_256", "imagenet1k", "swinv2_tiny_patch4_window8_256.pth"),
        ("swinv2_base_window16_256", "imagenet1k", "swinv2_base_patch4_window16_256.pth"),
        ("swinv2_large_window12_192", "imagenet22k", "swinv2_large_patch4_window12_192_22k.pth"),
        (
            "swinv2_base_window12to24_192to384",
            "imagenet1k",
            "swinv2_base_patch4_window12to24_192to384_22kto1k_ft.pth",
        ),
        ("swinv2_base_window12to16_192to256", "imagenet22k", "swinv2_base_patch4_window12_192_22k.pth"),
    ],
)
def test_address_of_a_release(name, tag, file):
    """Addresses are those of the official model hub."""
    assert weights_url(name, tag) == RELEASE + file


def test_another_tag_names_what_there_is():
    """The error says what is published for the model, and for whom the tag is."""
    with pytest.raises(
        ValueError, match=r"tiny_window8_256, which has imagenet1k; imagenet22k weights exist for swinv2_b"
    ):
        weights_url("swinv2_tiny_window8_256", "imagenet22k")


def test_the_largest_models_were_never_published():
    """Huge and giant have no weights."""
    with pytest.raises(ValueError, match="giant_window12_192, which has none"):
        weights_url("swinv2_giant_window12_192", "imagenet1k")


def test_an_unknown_tag_names_the_tags():
    """The error lists the tags."""
    with pytest.raises(ValueError, match="the tags are imagenet1k and imagenet22k"):
        weights_url("swinv2_tiny_window8_256", "imagenet21k")
