"""What a training shows while it goes on."""

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ProgressBar
from torch import nn
from torch.utils.data import DataLoader

from swinv2.training.schedules import OptimizerConfig
from swinv2.training.task import Task
from tests.pretended_gpu import NAME


class Toy(Task):
    """Whose loss is the number of the batch."""

    def __init__(self):
        super().__init__(nn.Linear(1, 1), OptimizerConfig(), None, None)

    def training_step(self, batch, batch_idx):
        return self.log_losses({"loss_toy": batch.mean() + 0 * self.model(batch).sum()}, 1)


class Bar(ProgressBar):
    """Notes the loss that it would show after each step."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def on_train_batch_end(self, trainer, pl_module, *given):
        self.shown.append(self.get_metrics(trainer, pl_module).get("loss"))

    def disable(self):
        """Nothing is printed."""


@pytest.mark.filterwarnings("ignore:.*(logging interval|no `val_dataloader`|many workers)")
@pytest.mark.parametrize(("device", "every"), [("cpu", 1), (NAME, 20)])
def test_a_bar_shows_the_loss_of_the_step(device, every, gpu, tmp_path):
    """Of each on a CPU; on a GPU, which would have to be waited for, of each twentieth."""
    bar, strategy = Bar(), "auto" if device == "cpu" else NAME
    trainer = Trainer(
        accelerator=device, strategy=strategy, max_epochs=1, callbacks=[bar], logger=False, enable_checkpointing=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Toy(), DataLoader(torch.arange(45.0).view(-1, 1)))
    assert bar.shown == [float(step - step % every) for step in range(45)]
