"""NaN and infinity in a training: steps with them are skipped, and no checkpoint ever holds them."""

import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim import Optimizer

from ..finite import not_finite
from ..runs.replay import save_replay
from .late_values import LateValues

log = logging.getLogger(__name__)

REMEDY = (
    "Often the learning rate is too high (model.optimizer.lr), the warm-up too short, a gradient too large "
    "(trainer.gradient_clip_val) or 16 bits too few (trainer.precision)."
)


class DivergedTrainingError(ValueError):
    """Error for a training whose loss, gradients or weights are not finite."""


@dataclass
class Step:
    """An optimizer's step.

    Attributes:
        number: from 1.
        random_state: of the CPU before its first batch.
        batches: its inputs.
        loss: of the last batch.
        skipped: number of steps in a row, with this one, that are skipped.
    """

    number: int
    random_state: Tensor
    batches: list[Any] = field(default_factory=list)
    loss: float | Tensor = math.nan
    skipped: int = 0


class FiniteTraining(Callback):
    """Skips steps whose gradients are not finite, and stops a training that has too many of them in a row.

    A skipped step changes neither weights nor moments. A checkpoint with NaN or infinity is never written. The norm of
    all gradients is logged as `grad_norm`. The inputs of the step that stops a training are kept in the run's folder.

    A fused optimizer skips a step on the GPU by itself, and skips all steps after the one that stops the training. The
    host, which nobody keeps waiting, is told up to two steps later.

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
        self.step = Step(0, torch.empty(0))  # the current one
        self.gate: Gate | None = None
        self.late: LateValues[Step] = LateValues()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Keep the batches of the current step, and the random state before them."""
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self.step = Step(trainer.global_step + 1, torch.get_rng_state())
        self.step.batches.append(batch)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Keep the loss of the last batch."""
        self.step.loss = loss.detach()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Skip the step if its gradients, not yet clipped, are not finite; otherwise log their norm.

        Raises:
            DivergedTrainingError: too many steps in a row had gradients, or a buffer has values, that are not finite.
        """
        gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if optimizer.defaults.get("fused") and norm.device.type == "cuda" and not scaler_of(trainer):
            self.gate = self.gate or Gate(norm, self.most_skipped)
            self.late.send(self.gate.judge(norm, self.step.loss, pl_module, optimizer), self.step)
            pl_module.log("grad_norm", self.gate.norm)
            self._look(trainer, pl_module)
        elif math.isfinite(float(norm)):  # the same in all processes
            self.skipped, self.step.batches = 0, []  # frees their memory while the next batches are loaded
            pl_module.log("grad_norm", norm)
        else:
            self._skip(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the last steps.

        Raises:
            DivergedTrainingError: one of them stops the training.
        """
        self._look(trainer, pl_module, at_all=True)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Raise before a checkpoint with NaN or infinity is written.

        Raises:
            DivergedTrainingError: a tensor of the model is not finite, or the training has to stop.
        """
        self._look(trainer, pl_module, at_all=True)
        if spoilt := not_finite(checkpoint["state_dict"]):
            raise DivergedTrainingError(
                f"{len(spoilt)} tensors of the model are not finite after step {trainer.global_step}, first "
                f"{spoilt[0]}: training stopped, and nothing was saved. {last_good(trainer)} {REMEDY}"
            )

    def _look(self, trainer: Trainer, module: LightningModule, at_all: bool = False) -> None:
        """Report the steps that the GPU has skipped."""
        for (skipped, loss), step in self.late.arrived(at_all):
            step.skipped, step.loss = int(skipped), loss
            if step.skipped:
                self._report(trainer, module, step)
            step.batches = []

    def _skip(self, trainer: Trainer, module: LightningModule) -> None:
        """Skip the current step; a scaler of losses does so by itself where its scale may only be too large."""
        if scaler_of(trainer) is not None:
            spoilt_loss = not math.isfinite(float(self.step.loss))
            if not trainer.strategy.reduce_boolean_decision(spoilt_loss, all=False):
                return
        self.skipped += 1
        for parameter in module.parameters():
            parameter.grad = None  # the optimizer skips such parameters
        self.step.skipped, self.step.loss = self.skipped, float(self.step.loss)
        self._report(trainer, module, self.step)

    def _report(self, trainer: Trainer, module: LightningModule, step: Step) -> None:
        """Warn about a skipped step, or stop the training."""
        spoilt = not_finite(dict(module.named_buffers()))
        if spoilt or step.skipped > self.most_skipped:
            held = f", and so is {spoilt[0]}, which the batch has changed" if spoilt else ""
            kept = self._keep(trainer, module, step)
            raise DivergedTrainingError(
                f"The loss ({step.loss:g}) or its gradients are not finite in step {step.number} "
                f"and {step.skipped - 1} before it{held}: training stopped. {last_good(trainer)} "
                f"{REMEDY}{kept}"
            )
        if trainer.is_global_zero:
            text = "Step %d is left out, the %d. in a row of at most %d: the loss (%g) or its gradients are not finite"
            log.warning(text, step.number, step.skipped, self.most_skipped, step.loss)

    def _keep(self, trainer: Trainer, module: LightningModule, step: Step) -> str:
        """Write the inputs of the step to a file; a sentence that names the file."""
        folder = Path(trainer.log_dir or trainer.default_root_dir)
        path = folder / f"replay_{trainer.global_rank}.pt"
        try:
            save_replay(path, module, step.batches, step.number, step.random_state, float(step.loss))
        except OSError as error:
            return f" What the step was computed from is not kept: {error}"
        return f" What the step was computed from is in {path}."


class Gate:
    """Decision on a GPU whether a fused optimizer makes a step, without a wait.

    Args:
        like: a number on the GPU.
        most_skipped: steps in a row that may be skipped; none is made any more after one too many.
    """

    def __init__(self, like: Tensor, most_skipped: int) -> None:
        self.most_skipped = most_skipped
        self.skipped = torch.zeros_like(like, dtype=torch.float32)  # in a row
        self.closed = torch.zeros_like(like, dtype=torch.bool)
        self.norm = torch.zeros_like(like)  # of the last finite gradients

    def judge(
        self, norm: Float[Tensor, ""], loss: float | Tensor, module: nn.Module, optimizer: Optimizer
    ) -> Float[Tensor, "2"]:
        """Let the optimizer make the coming step, or skip it; number of steps skipped in a row with it, and the loss.

        Args:
            norm: of all gradients.
            loss: of the step.
            module: whose buffers must be finite, too, after a step with gradients that are not.
            optimizer: fused.
        """
        bad = ~norm.isfinite()
        self.norm = torch.where(bad, self.norm, norm)
        self.skipped = torch.where(bad | self.closed, self.skipped + 1, 0)
        self.closed = self.closed | (self.skipped > self.most_skipped)
        if buffers := [buffer for buffer in module.buffers() if buffer.is_floating_point()]:
            self.closed = self.closed | (bad & ~torch.stack(torch._foreach_norm(buffers)).isfinite().all())
        optimizer.found_inf = (self.skipped > 0).float()  # type: ignore[attr-defined]  # AdamW skips by it
        return torch.stack([self.skipped, torch.as_tensor(loss, dtype=torch.float32, device=norm.device)])


def scaler_of(trainer: Trainer) -> Any:
    """What scales the losses of float16; None in other precisions."""
    return getattr(trainer.precision_plugin, "scaler", None)


def last_good(trainer: Trainer) -> str:
    """Sentence that names the last good checkpoint."""
    kept = [Path(path) for one in trainer.checkpoint_callbacks if (path := getattr(one, "best_model_path", ""))]
    there = [path for path in kept if path.exists()]
    if not there:
        return "No checkpoint was saved before."
    return f"The last good checkpoint is {max(there, key=lambda path: path.stat().st_mtime)}."
