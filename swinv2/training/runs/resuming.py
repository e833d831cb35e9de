"""Optimizer of a resumed training: settings of the recipe and command line replace those of the checkpoint."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch.optim.lr_scheduler import LambdaLR

from ..task import Task
from .checkpoint_content import check_optimizer, check_parts

log = logging.getLogger(__name__)

SETTINGS = {"initial_lr": "learning rate", "weight_decay": "weight decay", "betas": "betas"}
SHOWN = 3  # changes named in a message


class ResumedOptimizer(Callback):
    """Sets the optimizer of a resumed training to the settings of this run, and logs the changes."""

    def __init__(self) -> None:
        self.went_on = False

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Check the optimizer's state before it is restored.

        Raises:
            ValueError: its parameters are in other groups, or it is not the state of an AdamW for them.
        """
        if isinstance(pl_module, Task) and trainer.state.fn == "fit" and checkpoint.get("optimizer_states"):
            wanted = pl_module.optimizer_config.groups(pl_module.model)
            saved = checkpoint["optimizer_states"][0]
            check_parts(saved)
            check_groups(wanted, saved["param_groups"])
            check_optimizer(saved, wanted)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the restored optimizer and its schedule to the settings of this run."""
        self.went_on = True
        if not isinstance(pl_module, Task) or trainer.ckpt_path is None:
            return
        config, (optimizer,) = pl_module.optimizer_config, trainer.optimizers
        changes: dict[str, None] = {}
        for group, new in zip(optimizer.param_groups, config.groups(pl_module.model), strict=True):
            asked = {"initial_lr": new["lr"], "weight_decay": new["weight_decay"], "betas": config.betas}
            for name, value in asked.items():
                if different(group[name], value):
                    changes[f"{SETTINGS[name]} of {group['name']}: {group[name]} -> {value}"] = None
                    group[name] = value
        for scheduled in trainer.lr_scheduler_configs:
            scheduler = cast(LambdaLR, scheduled.scheduler)
            scheduler.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
            for group, factor in zip(optimizer.param_groups, scheduler.lr_lambdas, strict=True):
                group["lr"] = group["initial_lr"] * factor(scheduler.last_epoch)
        if changes and trainer.is_global_zero:
            more = f", and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
            log.warning(
                "Going on with other settings than those of the checkpoint: %s", ", ".join([*changes][:SHOWN]) + more
            )

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn if there was nothing left to train."""
        if trainer.ckpt_path is not None and not self.went_on and trainer.is_global_zero:
            log.warning(
                "Nothing was trained: the checkpoint is one after %d epochs and %d steps, and training ends with "
                "trainer.max_epochs %s and max_steps %d; to go on, raise them.",
                *(trainer.current_epoch, trainer.global_step, trainer.max_epochs, trainer.max_steps),
            )


def check_groups(wanted: Sequence[Mapping[str, Any]], saved: Sequence[Mapping[str, Any]]) -> None:
    """Raise unless the parameter groups are the same, by name and size.

    Args:
        wanted: groups by the recipe, see `parameter_groups`.
        saved: groups of the checkpoint.

    Raises:
        ValueError: they differ.
    """
    texts = [
        ", ".join(f"{group.get('name', 'no name')} ({len(group['params'])})" for group in groups)
        for groups in (saved, wanted)
    ]
    if texts[0] != texts[1]:
        raise ValueError(
            f"The checkpoint was trained with its parameters in other groups: {texts[0]} there, {texts[1]} here. "
            "Settings that say which parameters learn how fast (layer_decay, layer_decay_merging, backbone_lr_scale, "
            "frozen_stages) cannot be changed on the way: set them as they were, or start a new training from these "
            "weights by --model.weights instead of --ckpt_path."
        )


def different(saved: Any, asked: Any) -> bool:
    """Whether a setting has changed."""
    return tuple(saved) != tuple(asked) if isinstance(asked, Sequence) else saved != asked
