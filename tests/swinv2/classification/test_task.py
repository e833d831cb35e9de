"""The whole way of a small classifier: fit, validate and predict by the command."""

import csv
import json
from copy import deepcopy
from shutil import copytree

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint

from swinv2 import BackboneConfig
from swinv2.classification.classifier import ImageClassifier
from swinv2.classification.data import ImageNetData
from swinv2.classification.task import ClassificationTask
from swinv2.cli import main
from swinv2.pixels import IMAGENET_MEAN, IMAGENET_STD
from swinv2.shapes import make_classification
from swinv2.training.throughput import Throughput

NAMES = ["circle", "rectangle", "star", "triangle"]
DWARF = {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
DECAY = 0.7
EMA = {"class_path": "EMAWeightAveraging", "init_args": {"decay": DECAY}}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A small set of sample data."""
    return make_classification(tmp_path_factory.mktemp("shapes") / "classification", train=8, val=6, size=32)


@pytest.fixture
def small(shapes):
    """Settings of data of small images, loaded in this process."""
    return {"root": shapes, "batch_size": 4, "num_workers": 0, "size": 32}


@pytest.fixture
def model():
    """A classifier of the least size."""
    return ImageClassifier(BackboneConfig(**DWARF), 4)


@pytest.fixture
def recipe(small, tmp_path, monkeypatch):
    """Writes a recipe of a model of the least size in the folder of the test, and gives its file."""
    monkeypatch.chdir(tmp_path)

    def write(data=(), **trainer):
        content = {
            "model": {"model": {"backbone": DWARF, "num_classes": None}, "label_smoothing": 0.1},
            "data": small | {"root": str(small["root"]), **dict(data)},
            "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False, **trainer},
        }
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(content))
        return "small.yaml"

    return write


@pytest.fixture
def trained(recipe, capsys):
    """The recipe of a finished run, whose folder is below the current one, and what the run said."""
    path = recipe({"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "erasing": 0.5}, log_every_n_steps=1)
    assert main(["classification", "fit", "--config", path]) == 0
    return path, capsys.readouterr().out


def run(command, path, *options):
    """Run a command that succeeds."""
    assert main(["classification", command, "--config", path, *options]) == 0


def saved(path):
    """A checkpoint."""
    return torch.load(path, weights_only=True)


def images_below(folder):
    """All JPEG files, sorted by their names."""
    return sorted(folder.rglob("*.jpg"))


def test_fit_leaves_checkpoints_and_logs(trained, tmp_path):
    """The scores are printed at the end; checkpoints with the names of the classes and metrics are there."""
    _, said = trained
    folder = tmp_path / "runs/classification/small"
    assert "top-1 0." in said and "mean class accuracy 0." in said and "ReaL" not in said
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert saved(folder / "checkpoints/last.ckpt")["class_names"] == NAMES
    with (folder / "version_0/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"top1", "top5", "class_accuracy"} <= set(rows[0])
    first = rows[0] if rows[0]["loss"] else rows[1]
    assert float(first["images_per_second"]) > 0
    assert 0 <= float(first["train/top1"]) <= float(first["train/top5"]) == 1  # of four classes all are among five


def test_validate_prints_the_classes_and_writes_a_report(trained, capsys, tmp_path):
    """The best checkpoint is scored by class; table, matrix and commonest mistakes are files."""
    path, _ = trained
    run("validate", path, "--model.output", "scored")
    said = capsys.readouterr().out
    assert all(name in said for name in NAMES) and "images/s)" in said
    assert {one.name for one in (tmp_path / "scored").iterdir()} == {
        *("scores.json", "classes.csv", "confusion.png", "confused.csv"),
    }
    figures = json.loads((tmp_path / "scored/scores.json").read_text())
    assert f"top-1 {figures['top1']:.3f}  top-5 1.000" in said


def test_scores_are_those_of_the_predictions(trained, shapes, tmp_path):
    """Top-1 counted from the table of predictions and the folders is what validation says."""
    path, _ = trained
    run("validate", path, "--model.output", "scored")
    run("predict", path, "--data.images", str(shapes / "val"), "--model.output", "found")
    with (tmp_path / "found/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    right = np.mean([f"/{row['class_1']}/" in row["image"] for row in rows])
    assert json.loads((tmp_path / "scored/scores.json").read_text())["top1"] == pytest.approx(right)
    assert all(sum(float(row[f"probability_{i}"]) for i in range(1, 5)) == pytest.approx(1, abs=1e-5) for row in rows)


def test_real_labels_are_scored(trained, shapes, tmp_path, capsys):
    """With ReaL labels there is one more figure: an image without any is not counted."""
    path, _ = trained
    (tmp_path / "real.json").write_text(json.dumps([[0, 1, 2, 3], [0, 1, 2, 3], [], [], [], []]))
    run("validate", path, "--data.real_labels", str(tmp_path / "real.json"))
    assert "ReaL 1.000" in capsys.readouterr().out


def test_predict_draws_and_prints(trained, shapes, tmp_path, capsys):
    """Files of one name stay apart, a bad one is left out, and the data of the training need not be there."""
    path, _ = trained
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    photo = np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(f"{folder}/photo.jpg", photo)
    given = '["a/photo.jpg", "b/photo.jpg", "broken.jpg"]'
    run("predict", path, "--data.root", "nowhere", "--data.images", given, "--model.output", "found")
    said = capsys.readouterr().out
    assert said.count("photo.jpg  0.") == 2 and "2 images: found/predictions.csv" in said
    pictures = images_below(tmp_path / "found/pictures")
    assert len(pictures) == 2
    assert cv2.imread(str(pictures[0])).shape[0] > 354  # 90 x 130 enlarged to 354 x 512, and the names below


def test_pictures_may_be_left_out(trained, shapes, tmp_path):
    """The table alone is written."""
    path, _ = trained
    run("predict", path, "--data.images", str(shapes / "val"), "--model.pictures", "false", "--model.output", "found")
    assert [one.name for one in (tmp_path / "found").iterdir()] == ["predictions.csv"]


def test_nothing_readable_to_predict(trained, tmp_path, capsys):
    """If no image can be read, the command fails."""
    path, _ = trained
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert main(["classification", "predict", "--config", path, "--data.images", "broken.jpg"]) == 1
    assert "None of the images could be read" in capsys.readouterr().err


def test_model_as_built_predicts_without_names(recipe, shapes, capsys, caplog):
    """Without a checkpoint, and without data of as many classes, they have numbers for names."""
    images = ["--ckpt_path", "null", "--model.model.num_classes", "7", "--data.images", str(shapes / "val")]
    for data, warned in ((shapes, True), ("nowhere", False)):
        run("predict", recipe(), *images, "--data.root", str(data))
        assert "0.14" in (said := capsys.readouterr().out) and "class 6" in said
        assert ("The data have 4 classes, the model 7, which go by their numbers" in caplog.text) == warned
        caplog.clear()


@pytest.mark.parametrize("source", ["training data", "file"])
def test_released_weights_predict_with_names(recipe, model, shapes, tmp_path, capsys, source):
    """Weights without names of classes have those of the training data, or of a file (ImageNet's synset words)."""
    torch.save(model.state_dict(), tmp_path / "released.pth")
    (tmp_path / "synset_words.txt").write_text("".join(f"n0000000{i} word{i}, other{i}\n" for i in range(4)))
    path, names = recipe(), NAMES
    options = ["--ckpt_path", "null", "--model.model.backbone.weights", "released.pth", "--data.images", str(shapes)]
    if source == "file":
        options += ["--data.root", "nowhere", "--data.classes", "synset_words.txt"]
        names = [f"n0000000{i} word{i}" for i in range(4)]
    run("predict", path, *options, "--model.output", "found", "--model.pictures", "false")
    assert all(name in capsys.readouterr().out for name in names[:1])
    with (tmp_path / "found/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["class_1"] for row in rows} <= {*names}
    assert {rows[0][f"class_{rank}"] for rank in range(1, 5)} == {*names}


def test_file_of_names_that_is_not_there(recipe, shapes, capsys):
    """A file of names that was asked for must be there, even if the number of classes is given."""
    options = ["--ckpt_path", "null", "--model.model.num_classes", "4", "--data.images", str(shapes)]
    assert main(["classification", "predict", "--config", recipe(), *options, "--data.classes", "none.txt"]) == 1
    assert "There is no file of class names" in capsys.readouterr().err


def test_classes_of_data_and_model_must_agree(recipe, capsys):
    """The error names both numbers and the key to change."""
    assert main(["classification", "fit", "--config", recipe(), "--model.model.num_classes", "5"]) == 1
    said = capsys.readouterr().err
    assert "The data has 4 classes" in said and "the model 5" in said and "num_classes to 4" in said


@pytest.fixture
def more(shapes, tmp_path):
    """The sample data with a class more."""
    root = copytree(shapes, tmp_path / "more")
    for split in ("train", "val"):
        copytree(root / split / "star", root / split / "wasp")
    return str(root)


@pytest.mark.parametrize("command", ["fit", "validate"])
@pytest.mark.parametrize(
    ("count", "said"),
    [
        (
            "null",
            ["The data has 5 classes (circle, ", "the model 4", "the data must have the classes of the checkpoint"],
        ),
        ("5", ["The checkpoint has 4 classes (circle, ", "the model 5", "start from its weights"]),
    ],
)
def test_checkpoint_of_other_classes(trained, more, capsys, command, count, said):
    """Data with more classes than the checkpoint are refused with the way out, their number given or not."""
    path, _ = trained
    given = ["--ckpt_path", "last", "--model.model.num_classes", count, "--data.root", more]
    assert main(["classification", command, "--config", path, *given]) == 1
    error = capsys.readouterr().err
    assert all(part in error for part in said)


def test_prediction_by_a_checkpoint_of_other_classes(trained, shapes, capsys):
    """Where no data are asked, the checkpoint itself says that it has other classes than the model."""
    path, _ = trained
    given = ["--model.model.num_classes", "7", "--data.images", str(shapes / "val")]
    assert main(["classification", "predict", "--config", path, *given]) == 1
    error = capsys.readouterr().err
    assert "The checkpoint has 4 classes (circle, " in error and "the model 7" in error
    assert "set model.model.init_args.num_classes to 4" in error


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed"])
def test_half_precision(recipe, capsys, precision):
    """A model in bfloat16 is trained on erased and mixed images, and scored."""
    path = recipe({"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "erasing": 0.5}, precision=precision)
    run("fit", path)
    assert "top-1 0." in capsys.readouterr().out


def test_images_a_second_of_accumulated_batches(recipe, tmp_path, monkeypatch):
    """The clock is read once a step, and counts the images of all batches that it is made of."""
    counted = []
    monkeypatch.setattr(Throughput, "read", lambda clock: (counted.append(clock.items), clock.restart())[0] or 1.0)
    path = recipe({"batch_size": 2}, accumulate_grad_batches=2, log_every_n_steps=1)
    run("fit", path)
    assert counted == [4, 4, 6]  # two steps, and a validation
    with (tmp_path / "runs/classification/small/version_0/metrics.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file) if row["images_per_second"]] == ["0", "1"]


@pytest.mark.parametrize("workers", [0, 1])
def test_resumed_run_has_the_weights_of_an_uninterrupted_one(recipe, tmp_path, workers):
    """With mixing, erasing and averaged weights, one epoch resumed for a second is as two in one go."""
    data = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "erasing": 0.5, "num_workers": workers}
    path = recipe(data, callbacks=[EMA], max_epochs=2)
    lr = ["--model.optimizer.lr", "1e-3", "--trainer.default_root_dir"]
    run("fit", path, *lr, "whole")
    run("fit", path, *lr, "parts", "--trainer.max_epochs", "1")
    run("fit", path, *lr, "parts", "--ckpt_path", "last")
    whole, parts = (saved(tmp_path / folder / "checkpoints/last.ckpt") for folder in ("whole", "parts"))
    assert whole["global_step"] == parts["global_step"] == 4
    for part in ("state_dict", "current_model_state", "averaging_state"):
        assert whole[part].keys() == parts[part].keys()
        for name, value in whole[part].items():
            assert torch.equal(value, parts[part][name]), (part, name)


class Witness(Callback):
    """Notes the weights after each step, before the averaging changes any, and those that are validated."""

    def __init__(self):
        self.after_steps, self.validated = [], []

    def on_train_batch_end(self, trainer, pl_module, *rest):
        """Called by the trainer after a step."""
        self.after_steps.append(deepcopy(pl_module.model.state_dict()))

    def on_validation_batch_start(self, trainer, pl_module, *rest):
        """Called by the trainer before a batch."""
        if not trainer.sanity_checking:
            self.validated.append(deepcopy(pl_module.model.state_dict()))


def averaged(states):
    """The exponential moving average, which starts with the first."""
    mean = dict(states[0])
    for state in states[1:]:
        mean = {name: DECAY * mean[name] + (1 - DECAY) * state[name] for name in mean}
    return mean


def test_averaged_weights_are_validated_and_saved(model, small, tmp_path):
    """Averages counted by hand from the weights of each step are what validation sees and best.ckpt has."""
    task, witness = ClassificationTask(model), Witness()
    best = ModelCheckpoint(tmp_path, "best", monitor="top1", mode="max", save_top_k=-1, auto_insert_metric_name=False)
    callbacks = [witness, EMAWeightAveraging(decay=DECAY), best]
    trainer = Trainer(**QUIET, max_epochs=1, default_root_dir=tmp_path, callbacks=callbacks)
    trainer.fit(task, ImageNetData(**small))
    wanted, kept = averaged(witness.after_steps), saved(tmp_path / "best.ckpt")
    assert len(witness.after_steps) == 2
    weights = [name for name in wanted if not name.endswith("_extra_state")]
    for name in weights:
        torch.testing.assert_close(witness.validated[0][name], wanted[name])
        torch.testing.assert_close(kept["state_dict"][f"model.{name}"], wanted[name])
        assert torch.equal(kept["current_model_state"][f"model.{name}"], witness.after_steps[-1][name])
    moved = [name for name in weights if not torch.equal(wanted[name], witness.after_steps[-1][name])]
    assert len(moved) > len(weights) / 2


@pytest.mark.parametrize("settings", [{"update_starting_at_step": 1}, {"update_every_n_steps": 0}])
def test_averages_that_start_late(recipe, capsys, settings):
    """Before they start, the weights that training began with would be validated and saved, which is refused."""
    late = EMA | {"init_args": settings}
    assert main(["classification", "fit", "--config", recipe(callbacks=[late])]) == 1
    assert "EMAWeightAveraging starts after the first step" in (said := capsys.readouterr().err)
    assert "Leave update_starting_at_step out" in said


def test_averages_may_be_taken_now_and_then(recipe, capsys):
    """Not each step need count, as long as the first one does."""
    run("fit", recipe(callbacks=[EMA | {"init_args": {"update_every_n_steps": 2}}]))
    assert "top-1 0." in capsys.readouterr().out


def test_averages_start_with_the_rows_of_the_head(model, small, tmp_path):
    """Rows of another classifier are in the averages before the first step, too."""
    other = ImageClassifier(BackboneConfig(**DWARF), 6)
    torch.save(other.state_dict(), tmp_path / "other.pth")
    (tmp_path / "rows.txt").write_text("5\n0\n3\n2\n")
    task = ClassificationTask(model, weights=str(tmp_path / "other.pth"), head_rows=str(tmp_path / "rows.txt"))
    seen = []
    model.head.register_forward_hook(lambda head, *_: seen.append(head.weight.detach().clone()))
    trainer = Trainer(
        **QUIET, accumulate_grad_batches=2, val_check_interval=1, num_sanity_val_steps=0,
        max_epochs=1, default_root_dir=tmp_path, enable_checkpointing=False,
        callbacks=[EMAWeightAveraging(decay=DECAY)],
    )  # fmt: skip
    trainer.fit(task, ImageNetData(**small))
    assert torch.equal(seen[1], other.head.weight[[5, 0, 3, 2]])


def test_scores_of_a_checkpoint_with_averages_are_those_of_the_training(recipe, tmp_path, capsys):
    """`validate` loads the averaged weights, without a word about the callback that made them."""
    path = recipe(callbacks=[EMA])
    run("fit", path)
    trained_with = capsys.readouterr().out.strip().splitlines()[-1]
    run("validate", path)
    said = capsys.readouterr()
    assert trained_with in said.out
    assert "WeightAveraging" not in said.err


def test_loss_is_that_of_smoothed_targets(model, small, monkeypatch):
    """The loss of a normalised batch is the cross-entropy with targets smoothed as timm does."""
    task = ClassificationTask(model, label_smoothing=0.1)
    task.trainer = Trainer(**QUIET)
    task.trainer.datamodule = data = ImageNetData(**small)
    monkeypatch.setattr(task, "log_losses", lambda losses, _: sum(losses.values()))
    monkeypatch.setattr(task, "_log_progress", lambda *_: None)
    data.setup("fit")
    images, labels = next(iter(data.train_dataloader()))
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    smoothed = F.one_hot(labels, 4) * 0.9 + 0.1 / 4
    loss = -(smoothed * model((images / 255 - mean) / std).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(task.training_step((images, labels), 0), loss)


def test_batches_are_erased_and_mixed_after_they_are_normalised(model, small):
    """What the data prescribe is done to the training batch, in the order of the official training."""
    task, data, done = ClassificationTask(model), ImageNetData(**small), []
    data.setup("fit")
    data.erasing = lambda images: (done.append("erased"), images + 1)[1]
    data.mixing = lambda images, labels: (done.append("mixed"), (images * 2, F.one_hot(labels, 4).float()))[1]
    task.trainer = Trainer(**QUIET)
    task.trainer.datamodule = data
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    pixels, shares = task.augmented(images, torch.tensor([1, 3]))
    assert done == ["erased", "mixed"]
    torch.testing.assert_close(pixels, (task.normalized(images) + 1) * 2)
    assert shares.argmax(1).tolist() == [1, 3]


def test_window_of_the_test_is_for_the_test(model, small, tmp_path):
    """During training validation has its own window, and training goes on with the one that it had."""
    task, seen = ClassificationTask(model, test_window_size=3), []
    model.backbone.register_forward_pre_hook(lambda backbone, _: seen.append((model.training, backbone.window_size[0])))
    trainer = Trainer(**QUIET, max_epochs=1, default_root_dir=tmp_path, enable_checkpointing=False)
    trainer.fit(task, ImageNetData(**small))
    assert set(seen) == {(True, (8, 8)), (False, (3, 3))}
    assert model.backbone.window_size == [(8, 8)] * 4


def test_weights_of_another_run_start_a_new_one(trained, tmp_path):
    """A checkpoint fills the whole classifier; the head stays out where the classes differ."""
    weights = "runs/classification/small/checkpoints/last.ckpt"
    kept = saved(tmp_path / weights)["state_dict"]
    same = ClassificationTask(ImageClassifier(BackboneConfig(**DWARF), 4), weights=weights).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in kept.items())
    described = ImageClassifier(BackboneConfig(**DWARF, weights=weights), 4).state_dict()
    assert all(torch.equal(value, described[name.removeprefix("model.")]) for name, value in kept.items())
    other = ClassificationTask(ImageClassifier(BackboneConfig(**DWARF), 9), weights=weights).state_dict()
    assert {name for name, value in kept.items() if not torch.equal(other[name], value)} == {
        *("model.head.weight", "model.head.bias"),
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing must be from 0 to below 1, got 1.0"),
        ({"head_rows": "map22kto1k.txt"}, "head_rows map22kto1k.txt are those of weights, but there are none"),
        ({"test_window_size": [1, 2, 3]}, "window_size"),
    ],
)
def test_bad_settings(model, settings, message):
    """Settings out of range are refused when the task is built."""
    with pytest.raises(ValueError, match=message):
        ClassificationTask(model, **settings)


def test_number_of_classes_is_needed():
    """A classifier has to know it; 0 is for features."""
    with pytest.raises(ValueError, match=r"num_classes must be 0 \(for features\) or more, got None"):
        ImageClassifier(BackboneConfig(**DWARF))
    with pytest.raises(ValueError, match="got -1"):
        ImageClassifier(BackboneConfig(**DWARF), -1)
    assert ImageClassifier(BackboneConfig(**DWARF), 0)(torch.rand(1, 3, 32, 32)).shape == (1, 64)


def test_training_learns_a_picture(model, small):
    """A few steps on one batch bring the loss down."""
    data = ImageNetData(**small)
    data.setup("fit")
    images, labels = next(iter(data.train_dataloader()))
    pixels = ClassificationTask(model).normalized(images)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        loss = F.cross_entropy(model(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
