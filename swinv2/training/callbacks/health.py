"""NaN and infinity in a training: steps with them are skipped, and no checkpoint ever holds them."""

import logging
import math
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.optim import Optimizer

from ..finite import not_finite
from ..runs.replay import save_replay

log = logging.getLogger(__name__)

REMEDY = (
    "Often the learning rate is too high (model.optimizer.lr), the warm-up too short, a gradient too large "
    "(trainer.gradient_clip_val) or 16 bits too few (trainer.precision)."
)


class DivergedTrainingError(ValueError):
    """Error for a training whose loss, gradients or weights are not finite."""


class FiniteTraining(Callback):
    """Skips steps whose gradients are not finite, and stops a training that has too many of them in a row.

    A skipped step changes neither weights nor moments. A checkpoint with NaN or infinity is never written. The norm of
    all gradients is logged as `grad_norm`. The inputs of the step that stops a training are kept in the run's folder.

    Args:
        most_skipped: steps in a row that may be skipped, 0 or more.

    Raises:
        ValueError: a number below 0.
    """

    def __init__(self, most_skipped: int = 3) -> None:
        if most_skipped < 0:
            raise ValueError(f"most_skipped must be 0 or more steps, got {most_skipped}.")
        self.most_skipped = most_skipped
        self.skipped = 0  # in a row
        self.loss = math.nan
        self.batches: list[Any] = []  # of the current step
        self.random_state = torch.empty(0)  # before these batches

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Keep the batches of the current step, and the random state before them."""
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self.batches, self.random_state = [], torch.get_rng_state()
        self.batches.append(batch)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Keep the loss of the last batch."""
        self.loss = loss.detach()  # type: ignore[assignment]

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Skip the step if its gradients, not yet clipped, are not finite; otherwise log their norm.

        Raises:
            DivergedTrainingError: too many steps in a row had gradients, or a buffer has values, that are not finite.
        """
        gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if math.isfinite(float(norm)):  # the same in all processes
            self.skipped, self.batches = 0, []  # frees their memory while the next batches are loaded
            pl_module.log("grad_norm", norm)
            return
        if getattr(trainer.precision_plugin, "scaler", None) is not None:  # its loss scale may only be too large
            spoilt_loss = not math.isfinite(float(self.loss))
            if not trainer.strategy.reduce_boolean_decision(spoilt_loss, all=False):
                return
        self.skipped += 1
        for parameter in pl_module.parameters():
            parameter.grad = None  # the optimizer skips such parameters
        spoilt = not_finite(dict(pl_module.named_buffers()))
        if spoilt or self.skipped > self.most_skipped:
            held = f", and so is {spoilt[0]}, which the batch has changed" if spoilt else ""
            kept = self._keep(trainer, pl_module)
            raise DivergedTrainingError(
                f"The loss ({float(self.loss):g}) or its gradients are not finite in step {trainer.global_step + 1} "
                f"and {self.skipped - 1} before it{held}: training stopped. {last_good(trainer)} "
                f"{REMEDY}{kept}"
            )
        if trainer.is_global_zero:
            text = "Step %d is left out, the %d. in a row of at most %d: the loss (%g) or its gradients are not finite"
            log.warning(text, trainer.global_step + 1, self.skipped, self.most_skipped, float(self.loss))

    def _keep(self, trainer: Trainer, pl_module: LightningModule) -> str:
        """Write the inputs of the step to a file; a sentence that names the file."""
        folder = Path(trainer.log_dir or trainer.default_root_dir)
        path = folder / f"replay_{trainer.global_rank}.pt"
        try:
            step = trainer.global_step + 1
            save_replay(path, pl_module, self.batches, step, self.random_state, float(self.loss))
        except OSError as error:
            return f" What the step was computed from is not kept: {error}"
        return f" What the step was computed from is in {path}."

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Raise before a checkpoint with NaN or infinity is written.

        Raises:
            DivergedTrainingError: a tensor of the model is not finite.
        """
        if spoilt := not_finite(checkpoint["state_dict"]):
            raise DivergedTrainingError(
                f"{len(spoilt)} tensors of the model are not finite after step {trainer.global_step}, first "
                f"{spoilt[0]}: training stopped, and nothing was saved. {last_good(trainer)} {REMEDY}"
            )


def last_good(trainer: Trainer) -> str:
    """Sentence that names the last good checkpoint."""
    kept = [Path(path) for one in trainer.checkpoint_callbacks if (path := getattr(one, "best_model_path", ""))]
    there = [path for path in kept if path.exists()]
    if not there:
        return "No checkpoint was saved before."
    return f"The last good checkpoint is {max(there, key=lambda path: path.stat().st_mtime)}."
