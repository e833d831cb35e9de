"""Checkpoints whose parts are none that a training writes."""

import copy

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from swinv2.training.runs.checkpoint_content import check_content, check_optimizer, check_parts, is_restoring

CONTENT = {
    "epoch": 1, "global_step": 8, "pytorch-lightning_version": "2.6.6", "state_dict": {}, "loops": {}, "callbacks": {},
    "optimizer_states": [{}], "lr_schedulers": [{}], "batches_of_epoch": float("inf"), "class_names": ["cat"],
    "window_size": [(8, 8)], "of_a_plugin": 3,
}  # fmt: skip


def test_what_a_training_writes_passes():
    """And what it may leave out."""
    check_content(CONTENT, "last.ckpt")
    check_content({"state_dict": {}}, "last.ckpt")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epoch", "x"), ("epoch", True), ("global_step", None), ("state_dict", 5), ("loops", []),
        ("callbacks", {"a": 3}), ("optimizer_states", {}), ("optimizer_states", [1]), ("lr_schedulers", "x"),
        ("class_names", [1]), ("class_names", "cat"), ("window_size", [[8, "x"]]),
        ("window_size", torch.zeros(1).expand(1 << 40)),
        ("batches_of_epoch", []), ("pytorch-lightning_version", None),
    ],
)  # fmt: skip
def test_parts_of_another_kind_are_named(name, value):
    """With the file, and what to do."""
    with pytest.raises(ValueError, match=rf"The checkpoint last.ckpt has .* for {name}: another program .* earlier"):
        check_content(CONTENT | {name: value}, "last.ckpt")


@pytest.fixture
def optimizer():
    """Groups of parameters, and the state of an optimizer of them after a step."""
    model = nn.Linear(2, 3)
    groups = [{"params": [one], "lr": 0.1, "name": str(i)} for i, one in enumerate(model.parameters())]
    optimizer = AdamW([dict(group, initial_lr=0.1) for group in groups])
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return groups, copy.deepcopy(optimizer.state_dict())


def test_state_of_the_same_parameters_passes(optimizer):
    """Also without that of parameters which were never trained, and by name."""
    groups, saved = optimizer
    check_parts(saved)
    check_optimizer(saved, groups)
    check_optimizer(saved | {"state": {}}, groups)
    check_optimizer(saved | {"state": {"weight": {}}}, groups)


@pytest.mark.parametrize("part", [{}, {"state": 3}, {"param_groups": [{}]}, {"param_groups": 1}])
def test_state_without_groups(optimizer, part):
    """Nothing can be compared."""
    with pytest.raises(ValueError, match="has no groups of parameters: another program"):
        check_parts({"state": {}} | part)


def test_settings_and_moments_that_do_not_fit(optimizer):
    """They would end the training in its first step."""
    groups, saved = optimizer
    for name, value in (("betas", 0.9), ("eps", "x"), ("initial_lr", None), ("amsgrad", torch.ones(2)), ("name", 1)):
        changed = copy.deepcopy(saved)
        changed["param_groups"][1][name] = value
        with pytest.raises(ValueError, match=f"Group 1 of the checkpoint's optimizer has .* for {name}: another"):
            check_optimizer(changed, groups)
    for name, value in (("step", None), ("exp_avg", torch.ones(7)), ("exp_avg_sq", "x")):
        changed = copy.deepcopy(saved)
        changed["state"][0][name] = value
        with pytest.raises(ValueError, match="The state of parameter 0 in the checkpoint's optimizer is wrong"):
            check_optimizer(changed, groups)
    with pytest.raises(ValueError, match="The state of parameter 9 "):
        check_optimizer(saved | {"state": {9: saved["state"][0]}}, groups)


@pytest.mark.parametrize(("module", "told"), [("checkpoint_connector.py", True), ("trainer.py", False)])
def test_errors_of_handing_out_are_told_apart(module, told):
    """By the module of Lightning that does it."""
    names = {}
    exec(compile("def restore(state):\n    return state['fit_loop']", f"lightning/{module}", "exec"), names)
    with pytest.raises(KeyError) as caught:
        names["restore"]({})
    assert is_restoring(caught.value) is told
