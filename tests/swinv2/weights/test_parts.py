import pytest
import torch

from swinv2.weights.parts import inner_names, outer_prefixes, split

NETWORK = "layers.0.blocks.0.attn.cpb_mlp.0.weight"


def test_the_classifier_lies_beside_the_backbone():
    """Prefix and head are stripped at any depth, other parts keep their names."""
    one = torch.ones(1)
    state = {"model.backbone.patch_embed.proj.weight": one, "model.head.weight": one, "model.fpn.weight": one}
    parts = split(state, "ours")
    assert list(parts.inside) == ["patch_embed.proj.weight", "head.weight"]
    assert list(parts.beside) == ["model.fpn.weight"]
    assert (parts.prefix, parts.classifier) == ("model.backbone.", "model.head")


def state(prefix, **others):
    """A backbone of eight features behind a prefix, and other tensors."""
    inside = {f"{prefix}patch_embed.proj.weight": torch.ones(8, 3, 4, 4), f"{prefix}{NETWORK}": torch.ones(2, 2)}
    return inside | {key.replace("__", "."): value for key, value in others.items()}


def test_a_head_in_the_wrapper_comes_before_one_in_the_backbone():
    """The old classifier of a fine-tuned model is none any more."""
    heads = {"net__head__fc__weight": torch.ones(3, 8), "net__body__head__fc__weight": torch.ones(10, 8)}
    parts = split(state("net.body.", **heads), "timm")
    assert len(parts.inside["head.weight"]) == 3
    assert parts.inside["head.fc.weight"] is heads["net__body__head__fc__weight"]


def test_other_layers_are_no_classifier():
    """Neither one of another width, nor one of several far away, nor a convolution."""
    assert split(state("net.", fc__weight=torch.ones(3, 9)), "ours").classifier == ""
    assert split(state("net.", a__fc__weight=torch.ones(3, 8), b__fc__weight=torch.ones(3, 8)), "ours").classifier == ""
    assert split(state("net.", decode_head__classifier__weight=torch.ones(3, 8, 1, 1)), "ours").classifier == ""
    assert split(state("net.", a__fc__weight=torch.ones(3, 8)), "ours").classifier == "a.fc"


def test_two_keys_of_one_name_are_refused():
    """Stages of timm's whole model and of its features in one."""
    both = state("") | {NETWORK.replace("layers.0", "layers_0"): torch.ones(2, 2)}
    with pytest.raises(ValueError, match=r"are both layers.0.* of the backbone; leave one of them out"):
        split(both, "timm")


@pytest.mark.parametrize(("prefix", "outer"), [("", [""]), ("a.", [""]), ("a.b.c.", ["a.b.", "a.", ""])])
def test_modules_around_a_backbone(prefix, outer):
    """From the inside out."""
    assert outer_prefixes(prefix) == outer


@pytest.mark.parametrize("prefix", ["", "model.", "net.module.x."])
def test_names_in_a_detector(prefix):
    """What a detector calls its parts, wherever it lies itself."""
    keys = [f"{prefix}{name}" for name in ("backbone.patch_embed.proj.weight", f"backbone.{NETWORK}", "fpn.weight")]
    assert inner_names(keys, "backbone.")["fpn.weight"] == f"{prefix}fpn.weight"
