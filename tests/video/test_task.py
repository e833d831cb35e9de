"""Training a video classifier and scoring it in many views."""

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy

from swinv2 import BackboneConfig
from swinv2.classification.scores import ClassificationScores
from swinv2.classifier import ImageClassifier
from swinv2.cli import main
from swinv2.training.distributed import LongBarrier
from swinv2.training.schedules import OptimizerConfig
from video.classifier import VideoClassifier
from video.data.clips import Views
from video.data.kinetics_data import KineticsData
from video.readers.opening import open_video
from video.task import VideoTask

SMALL = {"batch_size": 4, "num_workers": 0, "frames": 4, "size": 32, "short_edge": 32}


@pytest.fixture
def model(dwarf):
    """A classifier of the least size, without dropout."""
    return VideoClassifier(BackboneConfig(**dwarf), 4, dropout=0.0)


def train(task, data, folder, **options):
    """Run an epoch, or as long as the options say."""
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
        "enable_checkpointing": False,
    }
    trainer = Trainer(accelerator="cpu", default_root_dir=folder, **{"max_epochs": 1, **quiet, **options})
    trainer.fit(task, data)
    return trainer


@pytest.fixture
def views():
    """Two clips of three crops of a video, at random."""
    frames = torch.randint(256, (6, 3, 32, 48), dtype=torch.uint8)
    return Views(frames, [[0, 1, 2, 3], [2, 3, 4, 5]], [(0, 0), (0, 8), (0, 16)], 32)


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_probabilities_are_the_mean_over_the_views(model, views, at_once):
    """However many views run together, each video gets the mean of the probabilities of its own."""
    task = VideoTask(model, views_at_once=at_once).eval()
    other = Views(views.frames.flip(0), views.clips[:1], views.places[:1], 32)
    with torch.no_grad():
        found = task([views, other])
        one_by_one = [[model(view[None]).softmax(1) for view in video] for video in (views, other)]
    torch.testing.assert_close(found, torch.cat([torch.cat(rows).mean(0, keepdim=True) for rows in one_by_one]))


def test_views_are_cut_out_as_they_are_needed(model, views):
    """No view is cut out before the model has seen those before it, and only so many are there at a time."""
    cut, seen = [], []

    class Counted(Views):
        def __getitem__(self, index):
            cut.append(index)
            return super().__getitem__(index)

    model.register_forward_pre_hook(lambda _, inputs: seen.append((len(inputs[0]), len(cut))))
    VideoTask(model, views_at_once=4).eval()([Counted(views.frames, views.clips, views.places, 32)])
    assert seen == [(4, 4), (2, 6)]


@pytest.mark.parametrize("given", [{"label_smoothing": 1.0}, {"label_smoothing": -0.1}, {"views_at_once": 0}])
def test_settings_out_of_range(model, given):
    """What makes no sense is refused."""
    with pytest.raises(ValueError, match="label_smoothing must be from 0 to below 1 and views_at_once 1 or more"):
        VideoTask(model, **given)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("mixed", [False, True])
def test_loss_is_the_cross_entropy_by_hand(model, shapes, tmp_path, smoothing, mixed):
    """With hard labels, and with the shares of mixed clips; smoothing gives part of the target to all classes alike."""
    data = KineticsData(shapes, **SMALL, **({"mixup_alpha": 0.8, "cutmix_alpha": 1.0} if mixed else {}))
    logits, targets, losses = [], [], []

    class Noted(VideoTask):
        def training_step(self, batch, batch_idx):
            mixing = self.data.mixing
            if mixing is None:
                targets.append(torch.nn.functional.one_hot(batch[1], 4).float())
            else:
                mixing.register_forward_hook(lambda *given: targets.append(given[-1][1]))
            loss = super().training_step(batch, batch_idx)
            losses.append(loss.item())
            return loss

    model.register_forward_hook(lambda *given: logits.append(given[-1].detach()))
    train(Noted(model, label_smoothing=smoothing), data, tmp_path, max_steps=1, limit_val_batches=0)
    shares = targets[0] * (1 - smoothing) + smoothing / 4
    assert losses[0] == pytest.approx(-(shares * logits[0].log_softmax(1)).sum(1).mean().item(), rel=1e-5)
    assert targets[0].sum(1) == pytest.approx(torch.ones(4))
    assert ((targets[0] > 0).sum(1) == 1).all() != mixed


def test_head_and_backbone_have_their_own_learning_rates(model, shapes, tmp_path):
    """The first step of AdamW is as long as the learning rate, so the backbone moves by its share of the head's."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = OptimizerConfig(lr=1e-3, backbone_lr_scale=0.1, weight_decay=0.0)
    train(VideoTask(model, optimizer), KineticsData(shapes, **SMALL), tmp_path, max_steps=1, limit_val_batches=0)
    moved = {name: (value - before[name]).abs().max().item() for name, value in model.named_parameters()}
    assert moved["head.weight"] == pytest.approx(1e-3, rel=0.01)
    assert moved["backbone.patch_embed.proj.weight"] == pytest.approx(1e-4, rel=0.01)


def test_weights_of_an_image_classifier_are_inflated(model, dwarf, tmp_path):
    """A clip that repeats an image gives the image model's logits, if the classes are as many."""
    image = ImageClassifier(BackboneConfig(**{**dwarf, "window_size": [4, 4]}, out_indices=(1,)).build(), 4).eval()
    torch.save(image.state_dict(), tmp_path / "image.pth")
    VideoTask(model.eval(), weights=str(tmp_path / "image.pth"))
    picture = torch.rand(1, 3, 32, 32)
    clip = picture.unsqueeze(2).expand(-1, -1, 4, -1, -1)
    normalized = (picture - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    with torch.no_grad():
        torch.testing.assert_close(model(clip), image(normalized), atol=1e-5, rtol=0)


def test_weights_of_another_run_start_a_new_one(trained, tmp_path, dwarf):
    """A checkpoint fills all of a classifier; its last layer stays out where the classes differ."""
    weights = str(tmp_path / "runs/video/small/checkpoints/last.ckpt")
    saved = torch.load(weights, weights_only=True)["state_dict"]
    own = VideoTask(VideoClassifier(BackboneConfig(**dwarf), 4), weights=weights).state_dict()
    assert all(torch.equal(value, own[name]) for name, value in saved.items())
    other = VideoTask(VideoClassifier(BackboneConfig(**dwarf), 5), weights=weights).state_dict()
    changed = {name for name, value in saved.items() if not torch.equal(other[name], value)}
    assert changed == {"model.head.weight", "model.head.bias"}


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_run_has_the_weights_of_an_uninterrupted_one(recipe, tmp_path, monkeypatch, workers):
    """Two epochs in one go and one epoch resumed for a second end with the same numbers, whatever is random in them."""
    monkeypatch.chdir(tmp_path)
    data = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "rand_augment": [2, 9], "num_workers": workers}
    fit = ["video", "fit", "--config", recipe(tmp_path, data=data), "--model.optimizer.lr", "1e-3"]
    assert main([*fit, "--trainer.max_epochs", "2", "--trainer.default_root_dir", "whole"]) == 0
    assert main([*fit, "--trainer.max_epochs", "1", "--trainer.default_root_dir", "parts"]) == 0
    half = torch.load(tmp_path / "parts/checkpoints/last.ckpt", weights_only=True)
    assert main([*fit, "--trainer.max_epochs", "2", "--trainer.default_root_dir", "parts", "--ckpt_path", "last"]) == 0
    whole, parts = (
        torch.load(tmp_path / run / "checkpoints/last.ckpt", weights_only=True) for run in ("whole", "parts")
    )
    assert (half["global_step"], whole["global_step"], parts["global_step"]) == (2, 4, 4)
    assert not torch.equal(half["state_dict"]["model.head.weight"], whole["state_dict"]["model.head.weight"])
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][name]), name


def test_training_learns_its_clips(model, shapes, tmp_path):
    """A few epochs on four clips tell them apart."""
    data = KineticsData(
        shapes, **SMALL | {"frames": 8, "stride": 1}, scale_range=(1.0, 1.0), flip_prob=0.0, val="train.txt"
    )
    task = VideoTask(model, OptimizerConfig(lr=1e-2))
    train(task, data, tmp_path, max_epochs=15, check_val_every_n_epoch=15)
    assert task.scored.top1 >= 0.75


@pytest.mark.filterwarnings("ignore:predict returned None")
def test_processes_wait_before_they_exchange_results(model, shapes, tmp_path, monkeypatch):
    """At the end of a test and of a prediction they meet first, as nothing else has the patience for a long film."""
    happened, compute, reduce = [], ClassificationScores.compute, SingleDeviceStrategy.reduce
    monkeypatch.setattr(LongBarrier, "wait", lambda _: happened.append("wait"))
    monkeypatch.setattr(ClassificationScores, "compute", lambda self: happened.append("compute") or compute(self))
    monkeypatch.setattr(
        SingleDeviceStrategy, "reduce", lambda *given, **how: happened.append("reduce") or reduce(*given, **how)
    )
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
    trainer = Trainer(default_root_dir=tmp_path, enable_checkpointing=False, **quiet)
    data = KineticsData(shapes, **SMALL, videos=str(shapes / "val/00000000.mp4"))
    trainer.validate(VideoTask(model), data, verbose=False)
    assert happened[happened.index("wait") :] == ["wait", "reduce", "compute", "reduce"]
    happened.clear()
    trainer.predict(VideoTask(model), data, return_predictions=False)
    assert happened[-2:] == ["wait", "reduce"]


def test_task_validates_before_and_after_training(model, shapes, tmp_path):
    """What an earlier test has finished is not taken for the scores of other weights, nor by training."""
    task, data = VideoTask(model, OptimizerConfig(lr=1e-2)), KineticsData(shapes, **SMALL)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(accelerator="cpu", max_epochs=1, default_root_dir=tmp_path, enable_checkpointing=False, **quiet)
    seen = []
    model.register_forward_pre_hook(lambda module, given: seen.append(0) if not module.training else None)
    counts = []
    for run in (trainer.validate, trainer.fit, trainer.validate):
        seen.clear()
        run(task, data)
        counts.append(len(seen))
    assert counts[0] == counts[2] > 0 and counts[1] >= counts[0]
    assert not list(tmp_path.glob("validate/finished-*"))


@pytest.fixture
def unreadable(monkeypatch):
    """From now on no validation video can be read."""

    def spoil():
        monkeypatch.setattr("video.data.clips.open_video", lambda path, backend: open_video(path / "gone", backend))

    return spoil


def test_validation_without_a_readable_video_costs_no_epoch(model, shapes, tmp_path, unreadable, caplog):
    """Training goes on, with scores that are no numbers; a test has nothing to say, which is an error."""

    class Spoiling(VideoTask):
        def on_validation_start(self):
            super().on_validation_start()
            if not self.trainer.sanity_checking:
                unreadable()

    data = KineticsData(shapes, **SMALL)
    trainer = train(Spoiling(model), data, tmp_path)
    assert trainer.state.finished
    assert all(trainer.logged_metrics[name].isnan() for name in ("top1", "top5", "class_accuracy"))
    assert "There is no video that can be read to validate on" in caplog.text
    with pytest.raises(ValueError, match="no video that can be read to validate on"):
        trainer.validate(VideoTask(model), KineticsData(shapes, **SMALL), verbose=False)


def test_training_without_validation(model, shapes, tmp_path):
    """Without validation videos a training has none, and none is loaded."""
    data = KineticsData(shapes, **SMALL, val=None)
    trainer = train(VideoTask(model), data, tmp_path, limit_val_batches=0)
    assert trainer.state.finished and data.val_dataloader() == []
    with pytest.raises(ValueError, match=r"nothing to validate on: data\.val is null"):
        trainer.validate(VideoTask(model), data, verbose=False)


@pytest.mark.filterwarnings("ignore:predict returned None")
def test_model_that_has_diverged(model, shapes, tmp_path):
    """A model whose output is not finite neither scores nor predicts anything, and the error says why."""
    model.head.weight.data[0, 0] = torch.nan
    data = KineticsData(shapes, **SMALL, videos=str(shapes / "val/00000000.mp4"))
    trainer = Trainer(accelerator="cpu", default_root_dir=tmp_path, logger=False, enable_progress_bar=False)
    with pytest.raises(ValueError, match=r"output of the model for .*\.mp4 is not finite"):
        trainer.validate(VideoTask(model), data)
    with pytest.raises(
        ValueError, match=r"no results of 1 videos: the output of the model is not finite: its training"
    ):
        trainer.predict(VideoTask(model), data, return_predictions=False)


@pytest.mark.filterwarnings("ignore:predict returned None")
def test_output_that_is_not_finite(model, shapes, tmp_path, monkeypatch, caplog):
    """A video of which the model makes no numbers, as half precision may, is left out, and the others are predicted."""
    forward, seen = VideoClassifier.forward, []

    def overflowing(self, clips):
        seen.append(len(clips))
        return forward(self, clips) * (torch.inf if len(seen) == 1 else 1)

    monkeypatch.setattr(VideoClassifier, "forward", overflowing)
    data = KineticsData(shapes, **SMALL, videos=[str(shapes / f"val/0000000{number}.mp4") for number in (0, 1)])
    trainer = Trainer(accelerator="cpu", default_root_dir=tmp_path, logger=False, enable_progress_bar=False)
    trainer.predict(VideoTask(model), data, return_predictions=False)
    assert "Skipped a video, 1 of 2 so far: The output of the model" in caplog.text
    assert [path.name for path in tmp_path.glob("**/*.csv")] == ["00000001.csv"]
