"""AdamW and its learning rate schedule."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from lightning import Trainer
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from .parameter_groups import Merging, parameter_groups

DROP = 0.1  # factor of the learning rate at each milestone
FAR = 10**9  # stands for the length of the training at step 0, whose learning rate does not depend on it


@dataclass(frozen=True)
class OptimizerConfig:
    """Settings of AdamW with the official no-decay list; the learning rate warms up linearly, then follows `schedule`.

    Args:
        lr: highest learning rate, above 0.
        weight_decay: 0 or more.
        betas: of AdamW, each from 0 to below 1.
        layer_decay: factor per layer of the backbone, above 0, at most 1, which switches it off.
        layer_decay_merging: whether a patch merging is in the layer of the block before it ("shared", as in SimMIM) or
            a layer of its own ("own", as in MIM-Depth).
        backbone_lr_scale: factor of the backbone's learning rates, e.g. 0.1.
        warmup_steps: length of the warm-up in optimizer steps.
        warmup_epochs: length of the warm-up in epochs, instead of `warmup_steps`.
        warmup_start_factor: first learning rate over `lr`, from 0 to 1.
        schedule: "multistep" falls to a tenth at each milestone and stays constant without any; "cosine" and "linear"
            fall to `min_lr` over the steps after the warm-up.
        milestones: epochs at which "multistep" falls, above 0; fractions are allowed.
        min_lr: last learning rate of "cosine" and "linear", from 0 to `lr`.

    Raises:
        ValueError: a number is out of range, or two settings contradict each other.
    """

    lr: float = 1e-4
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    layer_decay: float = 1.0
    layer_decay_merging: Merging = "shared"
    backbone_lr_scale: float = 1.0
    warmup_steps: int = 0
    warmup_epochs: float = 0.0
    warmup_start_factor: float = 0.001
    schedule: Literal["multistep", "cosine", "linear"] = "multistep"
    milestones: Sequence[float] = ()
    min_lr: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges of the settings."""
        if self.lr <= 0 or self.weight_decay < 0 or not 0 <= self.min_lr <= self.lr:
            raise ValueError(
                f"lr must be above 0, weight_decay 0 or more and min_lr from 0 to lr, got lr={self.lr}, "
                f"weight_decay={self.weight_decay}, min_lr={self.min_lr}."
            )
        if not 0 < self.layer_decay <= 1 or self.backbone_lr_scale <= 0:
            raise ValueError(
                f"layer_decay must be above 0 and at most 1, backbone_lr_scale above 0, got {self.layer_decay} and "
                f"{self.backbone_lr_scale}; use frozen_stages to switch learning off."
            )
        if min(self.warmup_steps, self.warmup_epochs) < 0 or (self.warmup_steps and self.warmup_epochs):
            raise ValueError(
                "The length of the warm-up stands in warmup_steps or in warmup_epochs, 0 or more, got "
                f"{self.warmup_steps} and {self.warmup_epochs}; leave one at 0."
            )
        if self.milestones and self.schedule != "multistep":
            raise ValueError(f"milestones go with schedule: multistep, got {self.schedule}; leave one of them out.")
        self._check_ranges()

    def _check_ranges(self) -> None:
        if not all(0 <= beta < 1 for beta in self.betas) or not 0 <= self.warmup_start_factor <= 1:
            raise ValueError(
                "betas must be from 0 to below 1, e.g. 0.9 and 0.999, and warmup_start_factor from 0 to 1, got "
                f"{', '.join(map(str, self.betas))} and {self.warmup_start_factor}."
            )
        if any(epoch <= 0 for epoch in self.milestones):
            raise ValueError(f"milestones must be epochs above 0, got {list(self.milestones)}; leave the others out.")

    def factor(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        """Factor of `lr` at a step.

        Args:
            step: number of optimizer steps made so far.
            steps_per_epoch: optimizer steps of an epoch.
            total_steps: optimizer steps of the whole training.
        """
        warmup = self.warmup_length(steps_per_epoch)
        if step < warmup:
            return self.warmup_start_factor + (1 - self.warmup_start_factor) * step / warmup
        if self.schedule == "multistep":
            return DROP ** sum(step >= round(epoch * steps_per_epoch) for epoch in self.milestones)
        progress = min((step - warmup) / max(total_steps - warmup, 1), 1.0)
        height = 1 - progress if self.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
        return height + (1 - height) * self.min_lr / self.lr

    def warmup_length(self, steps_per_epoch: int) -> int:
        """Optimizer steps of the warm-up."""
        return self.warmup_steps or round(self.warmup_epochs * steps_per_epoch)

    def doubts(self, steps_per_epoch: int, total_steps: int) -> list[str]:
        """Warnings about parts of the schedule that lie after the end of the training.

        Args:
            steps_per_epoch: optimizer steps of an epoch.
            total_steps: optimizer steps of the whole training.
        """
        found, warmup = [], self.warmup_length(steps_per_epoch)
        if warmup >= total_steps:
            share = self.factor(total_steps - 1, steps_per_epoch, total_steps)
            found.append(
                f"The warm-up of {warmup} steps is not over when training ends, after {total_steps}: the learning rate "
                f"gets to {share:.2g} of lr at most. Shorten it (model.optimizer.warmup_steps, warmup_epochs), or "
                "train longer."
            )
        if late := [epoch for epoch in self.milestones if round(epoch * steps_per_epoch) >= total_steps]:
            found.append(
                f"Training ends after {total_steps / steps_per_epoch:g} epochs, before the milestones "
                f"{', '.join(map(str, late))} (model.optimizer.milestones): the learning rate does not fall there."
            )
        return found

    def groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Parameter groups of a model, see `parameter_groups`."""
        rates = self.lr, self.weight_decay, self.layer_decay, self.backbone_lr_scale
        return parameter_groups(model, *rates, self.layer_decay_merging)

    def configure(
        self, model: nn.Module, steps: Callable[[], tuple[int, int]], scales_loss: bool = False
    ) -> dict[str, Any]:
        """Optimizer and schedule, as a LightningModule's `configure_optimizers` returns them.

        Args:
            model: to train.
            steps: gives the optimizer steps of an epoch and of the whole training; called once, after the first step.
            scales_loss: whether losses are scaled, as in float16: gradients could not be clipped in a fused step.
        """
        on_gpu = all(parameter.device.type == "cuda" for parameter in model.parameters())
        way = {"fused": True} if on_gpu and not scales_loss else {"foreach": True}
        optimizer = AdamW(self.groups(model), lr=self.lr, betas=self.betas, **way)
        optimizer._step_supports_amp_scaling = False  # or Lightning would clip no gradients
        optimizer.register_load_state_dict_pre_hook(keep_way)
        known = cache(steps)
        scheduler = LambdaLR(optimizer, lambda step: self.factor(step, *(known() if step else (FAR, FAR))))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def keep_way(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """State of an optimizer without how its steps were computed, which may have been on another device."""
    way = {name: optimizer.defaults[name] for name in ("foreach", "fused")}
    return state | {"param_groups": [group | way for group in state["param_groups"]]}


def doubts_of_validation(trainer: Trainer, steps_per_epoch: int, total_steps: int) -> list[str]:
    """Warnings about a training that ends before its first validation.

    Args:
        trainer: after the setup of its data.
        steps_per_epoch: optimizer steps of an epoch.
        total_steps: optimizer steps of the whole training.
    """
    every, interval = trainer.check_val_every_n_epoch, trainer.val_check_batch
    if not trainer.enable_validation or interval is None or math.isinf(interval):
        return []
    first = math.ceil(interval / trainer.accumulate_grad_batches) + ((every or 1) - 1) * steps_per_epoch
    if total_steps >= first:
        return []
    return [
        f"Training ends after {total_steps} steps, before the first validation, after {first}: there will be no score "
        "and no best checkpoint, only the last one. Validate earlier (trainer.val_check_interval, "
        "check_val_every_n_epoch), or train longer."
    ]


def training_steps(trainer: Trainer) -> tuple[int, int]:
    """Optimizer steps of an epoch, and of the whole training.

    Args:
        trainer: the trainer, with its model and data attached.

    Raises:
        ValueError: the training has no end; a schedule needs one.
    """
    trainer.fit_loop.setup_data()
    total, batches = trainer.estimated_stepping_batches, trainer.num_training_batches
    if total < 0 or math.isinf(total):
        raise ValueError("A schedule needs to know when training ends; set trainer.max_epochs or trainer.max_steps.")
    return int(total) if math.isinf(batches) else math.ceil(batches / trainer.accumulate_grad_batches), int(total)
