"""The named models."""

from functools import cache

import pytest
import torch

from swinv2 import BackboneConfig, create_backbone, create_model, list_models
from swinv2.commands.models import cost, cost_of_classifier, models_table
from swinv2.variants import VARIANTS

# Parameters in millions and multiply-adds in thousand millions, by the authors' count and by the mm- tables' hooks.
PUBLISHED = {
    "swinv2_tiny_window8_256": ("28.35", 5.93, 4.35),
    "swinv2_tiny_window16_256": ("28.35", 6.61, 4.40),
    "swinv2_small_window8_256": ("49.73", 11.51, 8.45),
    "swinv2_small_window16_256": ("49.73", 12.65, 8.57),
    "swinv2_base_window8_256": ("87.92", 20.29, 14.99),
    "swinv2_base_window16_256": ("87.92", 21.80, 15.14),
    "swinv2_base_window12to16_192to256": ("87.92", 21.80, 15.14),
    "swinv2_base_window12to24_192to384": ("87.92", 54.75, 34.07),
    "swinv2_large_window12to16_192to256": ("196.74", 47.49, 33.86),
    "swinv2_large_window12to24_192to384": ("196.74", 115.42, 76.20),
    "swinv2_base_window12_192": ("109.28", 11.78, 8.51),
    "swinv2_large_window12_192": ("228.77", 26.00, 19.04),
}


TRACED = {  # whole windows and smaller ones at borders, another window than that of the training, extra norms
    "swinv2_tiny_window8_256": {},
    "swinv2_tiny_window16_256": {},
    "swinv2_base_window12to24_192to384": {"depths": [1, 1, 2, 1]},
    "swinv2_giant_window12_192": {"depths": [1, 1, 6, 1]},
}


@pytest.mark.parametrize("name", TRACED)
def test_the_count_by_weights_is_that_of_tracing(name):
    """Parameters and both kinds of multiply-adds to the last one, as fvcore counts them."""
    side = VARIANTS[name].image_size
    with torch.device("meta"):
        model = create_model(name, **TRACED[name])
        assert cost_of_classifier(model, side) == cost(model, 1, 3, side, side)


@cache
def counted(name):
    """What is counted of a model at its image size by its weights."""
    with torch.device("meta"):
        return cost_of_classifier(create_model(name), VARIANTS[name].image_size)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_multiply_adds_are_the_published_ones(name):
    """Parameters to the last printed digit; multiply-adds in both conventions within 0.5 %."""
    parameters, official, hooked = PUBLISHED[name]
    found = counted(name)
    head = 0 if "22k" not in name and VARIANTS[name].num_classes == 1000 else counted_head(name)
    assert f"{found.parameters / 1e6:.2f}" == parameters
    assert found.official / 1e9 == pytest.approx(official, rel=0.005)
    assert (found.hooked - head) / 1e9 == pytest.approx(hooked, rel=0.005)


def counted_head(name):
    """Multiply-adds of the 21,841-class head, which the mm- tables leave out."""
    return VARIANTS[name].embed_dim * 8 * VARIANTS[name].num_classes


@pytest.mark.parametrize(
    ("name", "headless", "millions"),
    [("swinv2_huge_window12_192", 655.2, "658.0"), ("swinv2_giant_window12_192", 2997.8, "3001.9")],
)
def test_huge_and_giant_have_the_papers_size(name, headless, millions):
    """658 M and 3 B parameters, counted without allocating them."""
    with torch.device("meta"):
        model = create_model(name, num_classes=1000)
    assert f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}" == millions
    backbone = sum(p.numel() for p in model.backbone.parameters())
    assert backbone / 1e6 == pytest.approx(headless, abs=0.06)


def test_counting_leaves_the_model_as_it_was():
    """Shifts come back after the count."""
    model = create_backbone("swinv2_tiny_window8_256", embed_dim=8, num_heads=(1, 1, 1, 1))
    cost(model, 1, 3, 64, 64)
    assert all(stage.shift for stage in model.layers)


def test_table_shows_a_model_a_line():
    """Pattern, parameters, both counts, windows, accuracy and its source."""
    table = models_table("*tiny*")
    assert "swinv2_tiny_window8_256   28.35 M  5.93 G  4.35 G" in table
    assert "16,16,16,8" in table and "82.8" in table
    assert "MODELHUB.md" in table
    assert "base" not in table


def test_released_models_have_the_names_of_timm():
    """Whoever knows timm finds the model under the same name."""
    import timm

    known = {name.split(".")[0] for name in timm.list_models("swinv2*", pretrained=True)}
    assert set(list_models()) - known == {"swinv2_huge_window12_192", "swinv2_giant_window12_192"}


def test_unknown_name_points_to_the_nearest():
    """A wrong name says what was meant."""
    with pytest.raises(ValueError, match="nearest is 'swinv2_tiny_window8_256', `swinv2 models`"):
        create_model("swinv2_tiny_windw8_256")


def test_window_and_training_window_of_a_name():
    """The window of the name is in use; offsets are measured in the window of the first training."""
    backbone = create_backbone("swinv2_base_window12to16_192to256", embed_dim=32)
    assert backbone.window_size == [(16, 16)] * 4
    assert backbone.pretrained_window_sizes == [(12, 12), (12, 12), (12, 12), (6, 6)]
    small = create_backbone("swinv2_tiny_window16_256", window_size=(8, 12), embed_dim=32, num_heads=(1, 1, 1, 1))
    assert small.window_size == [(8, 12)] * 4
    assert small.pretrained_window_sizes == [(16, 16), (16, 16), (16, 16), (8, 8)]


def test_video_model_of_a_name():
    """Eight frames times the image window, patches of two frames, frames kept between stages."""
    model = create_backbone("swinv2_tiny_window8_256", video=True, embed_dim=8, num_heads=(1, 1, 1, 1))
    assert model.window_size == [(8, 8, 8)] * 4
    assert [f.shape[2:] for f in model(torch.randn(1, 3, 4, 64, 32))] == [(2, 16, 8), (2, 8, 4), (2, 4, 2), (2, 2, 1)]


def test_configuration_builds_what_the_function_does():
    """A recipe and a call make the same model."""
    config = BackboneConfig(
        "swinv2_tiny_window8_256", window_size=16, embed_dim=16, depths=[1, 1], num_heads=[1, 2], out_indices=[0, 1]
    )
    with torch.device("meta"):
        model = config.build()
    assert model.channels == [16, 32]
    assert model.window_size == [(16, 16)] * 2


def test_classifier_without_classes_gives_features():
    """No head, no logits."""
    model = create_model("swinv2_tiny_window8_256", num_classes=0)
    assert model.eval()(torch.randn(1, 3, 32, 32)).shape == (1, 768)


@pytest.mark.parametrize(
    "name", ["imagenet1k_mine.pth", "./imagenet1k", "imagenet/best.pth", "imagenet22k.pth", "imagenet1k"]
)
def test_a_file_that_is_there_is_read(tmp_path, monkeypatch, name):
    """Even if its name begins like the tag of published weights."""
    monkeypatch.chdir(tmp_path)
    small = {"embed_dim": 8, "depths": [1], "num_heads": [1], "out_indices": [0]}
    saved = create_backbone("swinv2_tiny_window8_256", **small)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    torch.save(saved.state_dict(), name)
    read = create_backbone("swinv2_tiny_window8_256", weights=name, **small)
    assert torch.equal(read.patch_embed.proj.weight, saved.patch_embed.proj.weight)


@pytest.mark.parametrize("name", ["imagenet21k", "ImageNet1K", "imagenet1k_gone.pth"])
def test_what_is_not_there_is_taken_for_a_tag(tmp_path, monkeypatch, name):
    """The error lists the tags; a folder of images is no weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet22k").mkdir()
    for tag in (name, "imagenet22k"):
        with pytest.raises(
            ValueError, match=f"no {tag} weights are published for swinv2_tiny_window8_256, which has imagenet1k"
        ):
            create_backbone("swinv2_tiny_window8_256", weights=tag)
