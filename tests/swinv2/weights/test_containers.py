import logging
from collections import OrderedDict

import pytest
import torch

from swinv2.weights.containers import find_weights

PATCHES, NETWORK = "patch_embed.proj.weight", "layers.0.blocks.0.attn.cpb_mlp.0.weight"


def weights(number, prefix=""):
    """The least that is taken for a backbone."""
    return {f"{prefix}{PATCHES}": torch.full((8, 3, 4, 4), number), f"{prefix}{NETWORK}": torch.full((512, 2), number)}


RIGHT, WRONG = weights(1.0), weights(2.0)


def found(content):
    """The weights that are taken."""
    return find_weights(content, "best.pth")[0]


def right(state, prefix=""):
    """Whether these are the right ones, and all of them."""
    return state.keys() == weights(1.0, prefix).keys() and all(bool((value == 1).all()) for value in state.values())


@pytest.mark.parametrize("name", ["model_state_dict", "net", "weights", "params", "module", "network", "模型", ""])
def test_a_container_may_have_any_name(name):
    """What holds a backbone is found by what is in it."""
    assert right(found({name: RIGHT, "epoch": 3}))
    assert right(found({"a": {name: {"state_dict": RIGHT}}}))


def test_containers_may_be_lists():
    """Of weights and what belongs to the optimizer."""
    assert right(found({"list": [RIGHT, {"state": {0: {"exp_avg": torch.zeros(2)}}}]}))


@pytest.mark.parametrize(
    "content",
    [
        {"params": WRONG, "params_ema": RIGHT},
        {"state_dict": WRONG, "ema_state_dict": RIGHT},
        {"model": WRONG, "modelEMA": {"module": RIGHT}},
        {"student": WRONG, "teacher": RIGHT},
        {"net": WRONG, "swa_model": RIGHT},
        {"current_model_state": WRONG, "state_dict": RIGHT},
        {"state_dict": RIGHT, "ema_state_dict": {"steps": torch.tensor(9), **WRONG}},
    ],
    ids=["basicsr", "ema", "camel", "dino", "swa", "lightning", "mmengine"],
)
def test_averaged_weights_come_first(content, caplog):
    """Those that are scored are taken, and it is said; mmengine and Lightning have changed their places."""
    caplog.set_level(logging.INFO)
    assert right(found(content))
    assert "best.pth holds 2 models; taken are the" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize(
    ("prefix", "other"), [("teacher.", "student."), ("ema_model.", "model."), ("net.avg.", "net.raw."), ("ema.", "")]
)
def test_averaged_weights_may_lie_in_the_same_mapping(prefix, other):
    """Of two models with their names in one mapping, the other is left out with all that stands on it."""
    heads = {f"{other}head.weight": torch.zeros(2)}
    assert right(found(weights(2.0, other) | heads | weights(1.0, prefix)), prefix)


def test_a_choice_without_a_reason_is_warned_of(caplog):
    """The first of two is taken, and how to take the other is said."""
    assert right(found({"generator": RIGHT, "critic": WRONG}))
    assert "taken are the weights at generator, not those at critic. To take others, save these alone" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


def test_a_broken_average_is_not_replaced_by_what_it_is_of():
    """Without its patch embedding, it is what is refused."""
    assert PATCHES not in found({"model": WRONG, "model_ema": {NETWORK: RIGHT[NETWORK]}})


@pytest.mark.parametrize("aside", ["optimizer", "lr_scheduler.optim", "gradients", "pruning_masks"])
def test_what_merely_has_the_names_of_weights_is_none(aside):
    """Momenta, gradients and masks have the same names."""
    assert right(found({aside: WRONG, "weights": RIGHT}))


@pytest.mark.parametrize("name", ["head", "classifier", "cls_head", "decode_head", "fpn"])
def test_heads_saved_beside_the_backbone_belong_to_it(name):
    """They keep the names of their mappings."""
    state = found({"backbone": RIGHT, name: {"weight": torch.ones(2)}, "criterion": {"weight": torch.ones(3)}})
    assert right({key: value for key, value in state.items() if not key.startswith(name)}, "backbone.")
    assert f"{name}.weight" in state


def test_a_head_may_stand_in_the_mapping_of_the_weights():
    """Names of the backbone then stay."""
    assert found({**RIGHT, "head": {"weight": torch.ones(2)}}).keys() == {*RIGHT, "head.weight"}


@pytest.mark.parametrize(
    "wrapper",
    [
        "module.",
        "module.module.",
        "_orig_mod.",
        "_forward_module.",
        "_fsdp_wrapped_module._fpw_module.",
        "module._orig_mod.",
    ],
)
def test_wrappers_vanish_anywhere(wrapper):
    """Before, between and after the names of modules."""
    assert right(found({f"{wrapper}{key}": value for key, value in RIGHT.items()}))
    assert right(
        found(
            {
                key.replace("proj.", f"proj.{wrapper}").replace("attn.", f"attn.{wrapper}"): value
                for key, value in RIGHT.items()
            }
        )
    )
    assert found({"my_module.weight": torch.ones(1)}).keys() == {"my_module.weight"}


def test_two_tensors_of_one_name_are_refused():
    """With and without its wrapper, a tensor is there twice."""
    with pytest.raises(ValueError, match=rf"best.pth has two tensors for {NETWORK}: {NETWORK} and module.{NETWORK}"):
        found(RIGHT | {f"module.{NETWORK}": torch.zeros(1)})


def test_modules_are_what_they_hold():
    """A module read as a mapping with attributes gives its parameters and buffers."""
    leaf, whole = OrderedDict(), OrderedDict()
    leaf.__dict__ |= {"_parameters": {"weight": torch.ones(2), "bias": None}, "_buffers": {"mean": torch.zeros(1)}}
    whole.__dict__ |= {"_parameters": {}, "_modules": {"fc": leaf, "none": None}}
    assert found({"model": whole}).keys() == {"fc.weight", "fc.mean"}


def test_without_a_backbone_the_usual_container_is_taken():
    """Whoever wants a backbone is then told what there is."""
    assert found({"loss": torch.ones(1), "model": {"weight": torch.ones(2)}}).keys() == {"weight"}
    assert found({"epoch": 3}) == {}


def test_a_mapping_in_itself_ends():
    """Nothing hangs on it."""
    content = {"weights": RIGHT}
    content |= {f"self{i}": content for i in range(20)}
    assert found(content).keys() == RIGHT.keys()


def test_lists_in_lists_end():
    """What is in several of them is looked at once."""
    content = [{"x": 1}]
    for _ in range(6):
        content = [*[content] * 300, {}]
    assert found({"lists": content, "model": RIGHT}).keys() == RIGHT.keys()


def test_a_tensor_that_repeats_what_is_stored_is_refused():
    """A number can stand for terabytes, which a model would take; one that is as large as it says may be a view."""
    with pytest.raises(
        ValueError, match=rf"{NETWORK} has the shape \(1048576, 1048576\), and holds 4 bytes of it; take"
    ):
        found({NETWORK: torch.zeros(1, 1).expand(1 << 20, 1 << 20)})
    assert found({NETWORK: torch.zeros(1).expand(3)})[NETWORK].shape == (3,)
