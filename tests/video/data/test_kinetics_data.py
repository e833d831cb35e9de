"""Video data for Lightning."""

from pathlib import Path

import cv2
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning import Trainer

from swinv2.shapes import Shapes, make_video
from video.data.kinetics_data import KineticsData, read_names
from video.data.sampling import Dense, Segments


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Six training clips of moving shapes and three for validation, of 32 frames; to be read only."""
    return make_video(tmp_path_factory.mktemp("data") / "shapes", train=6, val=3, size=32)


@pytest.fixture
def root(shapes, tmp_path):
    """Lists that belong to the test, of the clips of all."""
    for name in ("train", "val"):
        (tmp_path / name).symlink_to(shapes / name)
        (tmp_path / f"{name}.txt").write_text((shapes / f"{name}.txt").read_text())
    (tmp_path / "classes.txt").write_text((shapes / "classes.txt").read_text())
    return tmp_path


def small(root, **settings):
    """Data of small clips, loaded in this process."""
    usual = {"num_workers": 0, "batch_size": 3, "frames": 4, "size": 16, "short_edge": 24}
    return KineticsData(root, **usual | settings)


def test_the_root_is_enough(root):
    """Data in Kinetics' lists need the root only, and names come from classes.txt."""
    data = KineticsData(root)
    data.setup("fit")
    assert (len(data.train_set), len(data.val_set)) == (6, 3)
    assert (data.num_classes, data.class_names) == (4, ["left", "right", "fast left", "fast right"])
    assert data.train_set.sampling == Dense(32, 2)


def test_training_batches(root):
    """A batch is one tensor of clips and one of their labels."""
    data = small(root)
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert len(batches) == 2
    clips, labels = batches[0]
    assert type(clips) is type(labels) is torch.Tensor
    assert (clips.shape, clips.dtype, clips.is_contiguous()) == ((3, 3, 4, 16, 16), torch.uint8, True)
    assert sorted(int(label) for _, labels in batches for label in labels) == [0, 0, 1, 1, 2, 3]


def test_validation_batches(root):
    """Validation gives all videos in order, as lists of views and targets."""
    data = small(root, val_clips=2, val_crops=3, batch_size=12)
    data.setup("validate")
    (first, second) = data.val_dataloader()
    assert [len(views) for views, _ in (first, second)] == [2, 1]
    assert [len(views) for views in first[0]] == [6, 6]
    assert first[0][0][5].shape == (3, 4, 16, 16)
    targets = first[1] + second[1]
    assert [target["label"] for target in targets] == [0, 1, 2]
    assert [target["video_id"] for target in targets] == [1, 2, 3]
    assert targets[0]["path"] == root / "val/00000000.mp4"
    assert data.train_set is None


@pytest.mark.parametrize(("batch_size", "videos"), [(6, 1), (1, 1), (17, 2), (18, 3)])
def test_validation_batch_has_no_more_views_than_clips_in_training(root, batch_size, videos):
    """With several views, fewer videos are in memory at once, but always one."""
    data = small(root, batch_size=batch_size, val_clips=2, val_crops=3)
    data.setup("validate")
    assert data.val_dataloader().batch_size == videos


def test_training_order_is_random(root):
    """Clips and their order differ between epochs, and are the same when an epoch is run again."""
    data = small(root, batch_size=6, rand_augment=(2, 9))
    data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    data.setup("fit")
    epochs = []
    for epoch in (0, 1, 0):
        data.trainer.fit_loop.epoch_progress.current.completed = epoch
        ((clips, _),) = data.train_dataloader()
        epochs.append(clips)
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])


def test_workers_do_not_change_clips(root):
    """Clips depend on the seed, not on the process that makes them, even where a video cannot be read."""
    (root / "broken.mp4").write_bytes(b"no video")
    with (root / "train.txt").open("a") as file:
        file.write("broken.mp4 3\n")
    batches = []
    for workers in (0, 2):
        torch.manual_seed(3)
        data = small(root, num_workers=workers, batch_size=7)
        data.setup("fit")
        batches += list(data.train_dataloader())
        assert len(data.train_set.skipped) == 1
    assert torch.equal(batches[0][0], batches[1][0])
    assert torch.equal(batches[0][1], batches[1][1])


def test_no_threads_of_opencv_beside_workers(root):
    """OpenCV's threads, which a forked worker would wait for in vain, are gone before workers start."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    data = small(root, num_workers=1)
    data.setup("fit")
    assert len(list(data.train_dataloader())) == 2
    assert cv2.getNumThreads() == 1
    cv2.setNumThreads(before)


def test_unreadable_video_is_not_scored(root):
    """Validation goes on without it."""
    (root / "broken.mp4").touch()
    with (root / "val.txt").open("a") as file:
        file.write("broken.mp4 3\n")
    data = small(root, num_workers=1, batch_size=2)
    data.setup("validate")
    assert [len(views) for views, _ in data.val_dataloader()] == [2, 1]
    assert len(data.val_set.skipped) == 1


def test_segments(root):
    """Frames may be taken from all over the video instead."""
    data = small(root, sampling="segments", frames=8)
    data.setup("validate")
    assert data.val_set.sampling == Segments(8)
    assert data.val_set[0][0][0].shape == (3, 8, 16, 16)


def test_class_folders(shapes, tmp_path):
    """A folder for each class will do; its name is that of the class, in validation the same as in training."""
    for split, names in (("training", ("jump", "walk")), ("validation", ("walk",))):
        for name in names:
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "clip.mp4").symlink_to(shapes / "train/00000000.mp4")
    data = small(tmp_path, train="training", val="validation")
    data.setup("fit")
    assert data.class_names == ["jump", "walk"]
    assert [item.label for item in data.train_set.items] == [0, 1]
    assert [item.label for item in data.val_set.items] == [1]


def test_classes_of_a_list_without_names(root):
    """Where no file names the classes, they are those of the training list."""
    (root / "classes.txt").unlink()
    assert small(root).class_names == ["class 0", "class 1", "class 2", "class 3"]


def test_folders_of_videos(shapes, tmp_path):
    """Lists may be in another place than the videos."""
    for split in ("train", "val"):
        (tmp_path / f"{split}.txt").write_text("00000000 0\n00000001 1\n")
    data = small(tmp_path, train_videos=str(shapes / "train"), val_videos=str(shapes / "val"))
    data.setup("fit")
    assert data.train_set.items[1].path == shapes / "train/00000001.mp4"
    assert data.val_set.items[1].path == shapes / "val/00000001.mp4"


def test_class_names_from_another_place(root, tmp_path_factory):
    """A file of names may be below the root or elsewhere."""
    elsewhere = tmp_path_factory.mktemp("lists") / "names.txt"
    elsewhere.write_text("west\neast\nnorth\nsouth\n")
    assert small(root, classes=str(elsewhere)).class_names[0] == "west"
    assert read_names(root, "train.txt", "classes.txt")[0] == "left"


def test_missing_class_names(root):
    """A file of names that was asked for and is not there is an error."""
    with pytest.raises(FileNotFoundError, match=r"class names .*names\.txt; check data\.root and data\.classes"):
        small(root, classes="names.txt").setup("validate")


def test_missing_root(tmp_path):
    """A missing data folder is named, with the options to check."""
    with pytest.raises(FileNotFoundError, match=r"nowhere.*check data\.root, data\.train and data\.classes"):
        small(tmp_path / "nowhere").setup("fit")


def test_class_that_has_no_name(root):
    """A label beyond the class names is refused before anything is read."""
    (root / "classes.txt").write_text("left\nright\n")
    with pytest.raises(ValueError, match=r"val\.txt has the class '2'.*data\.classes"):
        small(root).setup("validate")


@pytest.mark.parametrize("alphas", [{"mixup_alpha": 0.8}, {"cutmix_alpha": 1.0}])
def test_mixing(root, alphas):
    """With a parameter there is something that mixes a batch, with the shares of all classes."""
    data = small(root, **alphas)
    data.setup("fit")
    clips, shares = data.mixing(*next(iter(data.train_dataloader())))
    assert (clips.shape, shares.shape) == ((3, 3, 4, 16, 16), (3, 4))


def test_no_mixing(root):
    """By default batches are not mixed."""
    assert small(root).mixing is None


def test_bad_mixing_is_found_at_the_start(root):
    """A negative parameter is refused before training begins."""
    with pytest.raises(ValueError, match=r"mixup_alpha -0\.8"):
        small(root, mixup_alpha=-0.8).setup("fit")


def test_prediction(root):
    """Prediction takes files, folders and globs, needs no lists, and opens nothing."""
    for name in ("train.txt", "val.txt", "classes.txt"):
        (root / name).unlink()
    data = small(root, videos=[f"{root}/val", f"{root}/train/*1.mp4"], num_workers=2)
    data.setup("predict")
    batches = list(data.predict_dataloader())
    assert [len(batch) for batch in batches] == [1, 1, 1, 1]
    assert batches[3][0] == {"video_id": 4, "path": root / "train/00000001.mp4", "name": "4_00000001"}


def test_sample_data_is_made(tmp_path):
    """Shapes are made where they are missing, and used as any other data."""
    data = small(tmp_path / "shapes", shapes=Shapes(train=2, val=1, size=32))
    data.prepare_data()
    data.prepare_data()
    data.setup("fit")
    assert (len(data.train_set), len(data.val_set), data.num_classes) == (2, 1, 4)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"frames": 0}, "frames 0"),
        ({"stride": 0}, "stride 0"),
        ({"short_edge": 8}, "short_edge 8 is less than size 16"),
        ({"val_crops": 4}, "val_crops 4"),
        ({"flip_prob": -1.0}, "flip_prob"),
    ],
)
def test_settings_out_of_range(root, setting, message):
    """A setting that makes no sense is refused when the data are described."""
    with pytest.raises(ValueError, match=message):
        small(root, **setting)


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        ([], "root", Path("data/kinetics400")),
        (["--data.videos", "clip.mp4"], "predicted", ["clip.mp4"]),
        (["--data.videos", "[a.mp4, 'b/*.webm']"], "predicted", ["a.mp4", "b/*.webm"]),
        (["--data.shapes.size", "64"], "shapes", Shapes(size=64)),
        (["--data.sampling", "segments"], "sampling", Segments(32)),
    ],
)
def test_command_line(arguments, name, value):
    """Settings come from the command line as they do from a recipe."""
    parser = ArgumentParser()
    parser.add_class_arguments(KineticsData, "data")
    data = parser.instantiate(parser.parse_args([*arguments, "--data.rand_augment", "[4, 7]"])).data
    assert getattr(data, name) == value
    assert data.train_transform.transforms[-1].num_ops == 4
