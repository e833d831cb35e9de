"""Schedules against values worked by hand."""

import copy
import io

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import nn

from swinv2 import create_model
from swinv2.training.schedules import OptimizerConfig, doubts_of_validation, training_steps


def factors(steps, total=100, **settings):
    """Factors at some steps, of epochs of ten steps."""
    config = OptimizerConfig(lr=0.01, **settings)
    return [config.factor(step, 10, total) for step in steps]


def test_constant_without_milestones():
    """Nothing asked for, nothing changes."""
    assert factors([0, 50, 99]) == [1, 1, 1]


def test_milestones_divide_by_ten():
    """At epochs 3 and 4.5 of ten steps the rate falls to a tenth, exactly at steps 30 and 45."""
    assert factors([29, 30, 44, 45, 99], milestones=[3.0, 4.5]) == pytest.approx([1, 0.1, 0.1, 0.01, 0.01])


def test_warmup_is_linear():
    """From a thousandth at step 0 to the full rate at the last step of the warm-up, then the schedule."""
    values = factors([0, 1, 10, 19, 20], warmup_steps=20)
    assert values == pytest.approx([0.001, 0.05095, 0.5005, 0.95005, 1.0])


def test_warmup_in_epochs():
    """Two epochs of ten steps are twenty steps."""
    assert factors(range(30), warmup_epochs=2.0) == factors(range(30), warmup_steps=20)


def test_warmup_starts_where_it_is_told():
    """A start at half the rate."""
    assert factors([0, 10], warmup_steps=20, warmup_start_factor=0.5) == pytest.approx([0.5, 0.75])


def test_cosine():
    """Half of the height is left half way between the warm-up and the end."""
    values = factors([20, 40, 60, 80, 100], warmup_steps=20, schedule="cosine")
    assert values == pytest.approx([1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0])


def test_linear():
    """A quarter of the way takes a quarter of the rate."""
    assert factors([0, 25, 50, 100], schedule="linear") == pytest.approx([1, 0.75, 0.5, 0])


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_minimum_is_a_learning_rate(schedule):
    """A minimum of 0.001 is a tenth of the rate of 0.01; it holds after the end, too."""
    assert factors([0, 50, 100, 120], schedule=schedule, min_lr=0.001) == pytest.approx([1, 0.55, 0.1, 0.1])


def test_configured_optimizer_follows_the_schedule():
    """AdamW takes its rates from the groups, and each step moves them all by the same factor."""
    model = nn.Linear(2, 2)
    config = OptimizerConfig(lr=0.1, weight_decay=0.3, betas=(0.8, 0.9), warmup_steps=2, warmup_start_factor=0.5)
    parts = config.configure(model, lambda: (10, 100))
    optimizer, scheduler = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    assert isinstance(optimizer, torch.optim.AdamW)
    assert parts["lr_scheduler"]["interval"] == "step"
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.3, 0.0}
    rates = []
    for _ in range(4):
        rates.append([group["lr"] for group in optimizer.param_groups])
        assert {group["betas"] for group in optimizer.param_groups} == {(0.8, 0.9)}
        optimizer.step()
        scheduler.step()
    assert rates == [pytest.approx([rate] * 2) for rate in (0.05, 0.075, 0.1, 0.1)]


def test_fused_on_a_gpu(gpu):
    """Without scaled losses; a state of the other device can be loaded, and goes on."""
    layers, optimizers = [nn.Linear(2, 2), nn.Linear(2, 2).to("cuda"), nn.Linear(2, 2).to("cuda")], []
    for layer, scaled in zip(layers, (False, False, True), strict=True):
        optimizers.append(OptimizerConfig().configure(layer, lambda: (10, 100), scaled)["optimizer"])
        layer(torch.ones(1, 2).to(layer.weight.device)).sum().backward()
        optimizers[-1].step()
    assert [bool(optimizer.defaults["fused"]) for optimizer in optimizers] == [False, True, False]
    for one, other in ((0, 1), (1, 0)):
        torch.save(optimizers[one].state_dict(), file := io.BytesIO())
        optimizers[other].load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
        optimizers[other].step()
        assert bool(optimizers[other].param_groups[0]["fused"]) == bool(other)
    torch.testing.assert_close(optimizers[0].state[layers[0].weight]["step"], torch.tensor(3.0))


def test_evaluation_after_fused_steps():
    """Fused steps are not counted as writes; what evaluation has kept is new all the same, as training forgets it."""
    stages = {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 1]}
    model, images = create_model("swinv2_tiny_window8_256", num_classes=3, **stages), torch.rand(2, 3, 32, 32)
    optimizer = torch.optim.AdamW(model.parameters(), 0.1, fused=True)
    for _ in range(2):
        with torch.no_grad():
            found = model.eval()(images)
        copied = copy.deepcopy(model)
        torch.testing.assert_close(found, copied(images))
        model.train()(images).sum().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.0}, "lr must be above 0"),
        ({"weight_decay": -0.1}, "weight_decay 0 or more"),
        ({"min_lr": 1.0}, "min_lr from 0 to lr"),
        ({"layer_decay": 1.5}, "layer_decay must be above 0 and at most 1"),
        ({"layer_decay": 0.0}, "layer_decay must be above 0 and at most 1"),
        ({"backbone_lr_scale": 0.0}, "backbone_lr_scale above 0"),
        ({"warmup_steps": -1}, "0 or more, got -1"),
        ({"warmup_steps": 5, "warmup_epochs": 1.0}, "leave one at 0"),
        ({"schedule": "cosine", "milestones": [3.0]}, "milestones go with schedule: multistep, got cosine"),
        ({"betas": (0.9, 1.0)}, "betas must be from 0 to below 1.*got 0.9, 1.0 and 0.001"),
        ({"warmup_start_factor": 5.0}, "warmup_start_factor from 0 to 1, got 0.9, 0.999 and 5.0"),
        ({"milestones": [3.0, -1.0]}, "milestones must be epochs above 0"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    """Each is refused, with what is allowed."""
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**settings)


class Steps(LightningModule):
    """Notes the steps that its trainer announces, and those that it makes."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.doubts = []

    def on_train_start(self):
        self.doubts = doubts_of_validation(self.trainer, *self.announced)

    def training_step(self, batch):
        return self.layer(batch).sum()

    def configure_optimizers(self):
        self.announced = training_steps(self.trainer)
        return OptimizerConfig().configure(self, lambda: self.announced)


class Validated(Steps):
    """The same with a validation."""

    def validation_step(self, batch):
        pass


def fit(validated=False, **settings):
    """The announced steps, the steps made, and what is said of the validation."""
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    model = Validated() if validated else Steps()
    trainer = Trainer(accelerator="cpu", **quiet, **settings)
    data = torch.utils.data.DataLoader(torch.ones(7, 1))
    trainer.fit(model, data, data if validated else None)
    return model.announced, trainer.global_step, model.doubts


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_epochs": 2}, (7, 14)),
        ({"max_epochs": 2, "accumulate_grad_batches": 2}, (4, 8)),
        ({"max_epochs": 2, "max_steps": 9}, (7, 9)),
        ({"max_steps": 9}, (7, 9)),
        ({"max_epochs": 1, "limit_train_batches": 3}, (3, 3)),
    ],
)
def test_training_steps(settings, expected):
    """Seven batches an epoch; what is announced is what is done."""
    announced, made, _ = fit(**settings)
    assert announced == expected
    assert made == expected[1]


def test_training_without_end_is_an_error():
    """A schedule over all steps needs to know how many they are."""
    with pytest.raises(ValueError, match=r"set trainer.max_epochs or trainer.max_steps"):
        fit(max_epochs=-1)


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        ({"max_steps": 6}, 7),
        ({"max_epochs": 2, "check_val_every_n_epoch": 3}, 21),
        ({"max_steps": 4, "val_check_interval": 10, "check_val_every_n_epoch": None}, 5),
        ({"max_epochs": 1}, None),
        ({"max_steps": 4, "val_check_interval": 3}, None),
        ({"max_steps": 4, "limit_val_batches": 0}, None),
    ],
)
def test_trainings_that_end_before_their_validation(settings, first):
    """Then there is neither a score nor a best checkpoint, which is said before the first step."""
    twice = 2 if settings.get("val_check_interval") == 10 else 1
    said = fit(validated=True, accumulate_grad_batches=twice, num_sanity_val_steps=0, **settings)[2]
    assert bool(said) == (first is not None)
    assert first is None or f"before the first validation, after {first}: there will be no score" in said[0]
