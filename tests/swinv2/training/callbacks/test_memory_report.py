"""What is said when the memory of a GPU is too little, with figures that stand in for those of a card."""

from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import nn

from swinv2.error_reports import describe
from swinv2.training.callbacks.memory_report import GIB, Memory, MemoryReport, input_shapes

CONFIG = {
    "data.batch_size": 16,
    "data.short_edge": 800,
    "data.size": None,
    "model.model.init_args.backbone.checkpointing": [True, False],
    "trainer.accumulate_grad_batches": 2,
    "trainer.precision": None,
}


@pytest.fixture
def said(monkeypatch):
    """What the command prints after a batch that did not fit a card of 24 GiB, 1 of which another process has."""
    figures = {"memory_allocated": 3 * GIB, "memory_reserved": 21 * GIB, "max_memory_allocated": 19 * GIB}
    for name, value in {**figures, "mem_get_info": (2 * GIB, 24 * GIB)}.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)

    def said(batch, stage="training", config=CONFIG, device="cuda", state=None):
        weights = nn.Linear(2**14, 2**13, bias=False, device="meta")  # 0.5 GiB, and 1 of moments
        module = Mock(spec=LightningModule, device=torch.device(device), parameters=weights.parameters)
        stages = {"training": False, "sanity_checking": False} | {stage: True}
        trainer = Mock(spec=Trainer, optimizers=[SimpleNamespace(state=state)], **stages)
        report, error = MemoryReport(config), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 16.00 GiB")
        hook = "on_train_batch_start" if stage == "training" else f"on_{stage.removesuffix('ing')}_batch_start"
        getattr(report, hook)(trainer, module, batch, 0)
        report.on_exception(trainer, module, error)
        return describe(error).splitlines()

    return said


def test_training(said):
    """Batch, estimate and remedies by the keys of the recipe, in lines that can be pasted."""
    lines = said((torch.zeros(16, 3, 8, 12), torch.zeros(16)))
    assert lines[0] == "CUDA out of memory. Tried to allocate 16.00 GiB"
    text = "\n".join(lines)
    assert "The batch had 16 of up to 8 x 12 pixels." in text
    assert "The GPU has 24.0 GiB; 3.0 were taken before the batch, 1.0 the optimizer has yet to take" in text
    assert "1.0 are others'. The batch needs 16.0 or more, 19.0 are left for it." in text
    assert "- --data.batch_size 8 --trainer.accumulate_grad_batches 4" in text
    assert "- --model.model.init_args.backbone.checkpointing true" in text
    assert "- --trainer.precision bf16-mixed" in text
    assert lines[-1].endswith("smaller images or clips: --data.short_edge")


def test_moments_that_are_there_are_counted_once(said):
    """From the first step on they are part of what was taken before."""
    assert "0.0 the optimizer has yet to take" in "\n".join(said((torch.zeros(2, 3, 8, 8),), state={1: 2}))


def test_images_of_sizes_of_their_own(said):
    """Detection has them in a list; the largest edges count."""
    text = "\n".join(said(([torch.zeros(3, 8, 12), torch.zeros(3, 10, 4)], [{}, {}])))
    assert "The batch had 2 of up to 10 x 12 pixels." in text


@pytest.mark.parametrize("stage", ["validation", "predict"])
def test_evaluation_has_no_gradients(said, stage):
    """Neither checkpointing nor accumulation helps."""
    text = "\n".join(said([torch.zeros(3, 8, 12)] * 4, stage))
    assert "- --data.batch_size 2\n" in text
    assert "checkpointing" not in text and "accumulate" not in text and "the optimizer has yet to take" in text


def test_what_is_on_is_no_remedy(said):
    """One image, checkpointing and half precision: smaller images are left."""
    config = {"model.model.init_args.backbone.checkpointing": True, "trainer.precision": "bf16-mixed"}
    lines = said((torch.zeros(1, 3, 8, 8),), config=config)
    assert [line.strip() for line in lines[-2:]] == ["Any of these needs less:", "- smaller images or clips"]


def test_no_figures(said):
    """A batch without pixels, or a card that is not CUDA's, is told without an estimate."""
    assert not any("GPU has" in line for line in said([{"path": "a.mp4"}], "predict"))
    assert not any("GPU has" in line for line in said((torch.zeros(2, 3, 8, 8),), device="xpu"))


def test_estimate():
    """Never more than were too many, and none where weights fill the card."""
    assert Memory(24, 1, 3, 1, 19).fitting(16) == 15
    assert Memory(24, 1, 3, 1, 43).fitting(16) == 7
    assert Memory(24, 1, 23, 8, 25).fitting(2) == 0


def test_clips():
    """Time, height and width."""
    assert input_shapes((torch.zeros(2, 3, 4, 6, 8), torch.zeros(2))) == [(4, 6, 8)] * 2


def test_other_errors_have_no_note():
    """They are no matter of memory."""
    error = RuntimeError("x")
    MemoryReport({}).on_exception(Mock(spec=Trainer), Mock(spec=LightningModule), error)
    assert not hasattr(error, "__notes__")
