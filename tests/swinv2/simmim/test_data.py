"""Images without labels."""

import tarfile

import cv2
import numpy as np
import pytest
import torch

from swinv2.shapes import Shapes
from swinv2.simmim.data import SimMIMData

SMALL = {"batch_size": 2, "num_workers": 0, "size": 32}


def write(folder, *names, size=(40, 60)):
    """Noise pictures."""
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (*size, 3), np.uint8))
    return folder


def test_images_in_folders_of_any_depth(tmp_path):
    """Class folders, one folder, deeper ones: every image counts, other and hidden files do not."""
    names = ("a/1.jpg", "a/2.JPEG", "3.png", "b/c/4.webp", ".hidden/5.jpg")
    write(tmp_path / "train", *names)
    (tmp_path / "train/a/note.txt").write_text("no picture")
    data = SimMIMData(tmp_path, val=None, **SMALL)
    data.setup("fit")
    assert [item.name for item in data.train_set.items] == ["3", "a/1", "a/2", "b/c/4"]
    batches = list(data.train_dataloader())
    assert [(batch.shape, batch.dtype) for batch in batches] == [((2, 3, 32, 32), torch.uint8)] * 2
    assert data.val_dataloader() == []


def test_images_in_shards(tmp_path):
    """Tar files give the same images as the folder that they were made of."""
    write(tmp_path / "train", *(f"{i}.jpg" for i in range(4)))
    for shard in range(2):
        with tarfile.open(tmp_path / f"part-{shard}.tar", "w") as tar:
            for i in (2 * shard, 2 * shard + 1):
                (tmp_path / f"train/{i}.cls").write_text("0")
                for name in (f"{i}.jpg", f"{i}.cls"):
                    tar.add(tmp_path / "train" / name, name)
    shards, folder = (SimMIMData(tmp_path, train, val=None, **SMALL) for train in ("part-{0..1}.tar", "train"))
    for data in (shards, folder):
        data.setup("fit")
    for index in range(4):
        torch.manual_seed(0)
        image, _ = shards.train_set[index]
        torch.manual_seed(0)
        assert torch.equal(image, folder.train_set[index][0])
    assert sum(len(batch) for batch in shards.train_dataloader()) == 4


def test_shards_of_bare_images(tmp_path):
    """Images in tar files need no labels, and any labels will do; a sample without an image is counted."""
    write(tmp_path, *(f"{i}.jpg" for i in range(4)))
    for name, text in (("1.cls", "tench"), ("2.json", "{}"), ("other.cls", "0")):
        (tmp_path / name).write_text(text)
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        for name in ("0.jpg", "1.jpg", "1.cls", "2.jpg", "2.json", "3.jpg", "other.cls"):
            tar.add(tmp_path / name, name)
    data = SimMIMData(tmp_path, "train.tar", "train.tar", **SMALL)
    data.setup("fit")
    assert [len(batch) for batch in data.train_dataloader()] == [2, 2]
    names = [target["name"] for _, targets in data.val_dataloader() for target in targets]
    assert names == ["0", "1", "2", "3"]


def test_images_of_sixteen_bits(tmp_path, caplog):
    """They are left out of training, validation and prediction, and counted."""
    write(tmp_path / "train", "1.jpg", "3.jpg")
    cv2.imwrite(str(tmp_path / "train/2.png"), np.full((40, 60), 1800, np.uint16))
    data = SimMIMData(tmp_path, val="train", images=str(tmp_path / "train"), **SMALL)
    for stage in ("fit", "predict"):
        data.setup(stage)
    assert data.train_set[1][0].shape == (3, 32, 32)
    for loader in (data.val_dataloader(), data.predict_dataloader()):
        assert [len(targets) for _, targets in loader] == [1, 1]
    assert caplog.text.count("Skipped an image, 1 of 3 so far") == 3
    assert caplog.text.count("2.png has values of type uint16") == 3


def test_training_crops_are_the_published_ones(tmp_path):
    """From 0.67 of the area, in shape from 3:4 to 4:3, and flipped every other time."""
    ramp = np.stack([np.tile(np.arange(0, 250, 2), (125, 1))] * 3, -1).astype(np.uint8)
    (tmp_path / "train").mkdir()
    cv2.imwrite(str(tmp_path / "train/ramp.png"), ramp)
    data = SimMIMData(tmp_path, val=None, batch_size=1, num_workers=0, size=96)
    data.setup("fit")
    rows = torch.stack([data.train_set[0][0][0, 48] for _ in range(300)]).float()
    widths = (rows[:, -1] - rows[:, 0]).abs() / 2
    assert (widths.min() + 4) ** 2 > 0.67 * 125**2 * 3 / 4 and widths.max() <= 125
    assert 0.4 < (rows[:, 0] > rows[:, -1]).float().mean() < 0.6


def test_validation_looks_at_the_middle(tmp_path):
    """The short edge has the size, the long one is cut on both sides; targets have names."""
    write(tmp_path / "val", "a/1.png")
    image = cv2.imread(str(tmp_path / "val/a/1.png"))[..., ::-1]
    data = SimMIMData(tmp_path, batch_size=2, num_workers=0, size=40)
    data.setup("validate")
    ((images, targets),) = data.val_dataloader()
    assert np.array_equal(images[0].permute(1, 2, 0).numpy(), image[:, 10:50])
    assert [target["name"] for target in targets] == ["a/1"]


def test_images_that_cannot_be_read(tmp_path, caplog):
    """Training takes the next one, validation leaves it out; the log counts both."""
    for part in ("train", "val"):
        write(tmp_path / part, "1.jpg", "3.jpg")
        (tmp_path / part / "2.jpg").write_bytes(b"no picture")
    data = SimMIMData(tmp_path, **SMALL)
    data.setup("fit")
    torch.manual_seed(1)
    next_one = data.train_set[1]
    torch.manual_seed(1)
    assert torch.equal(next_one[0], data.train_set[2][0])
    assert [len(targets) for _, targets in data.val_dataloader()] == [1, 1]
    assert caplog.text.count("Skipped an image, 1 of 3 so far") == 2


def test_none_can_be_read(tmp_path):
    """Then there is nothing to train on, nor to validate on, which is an error at the start, or else in training."""
    for part in ("train", "val"):
        write(tmp_path / part, "1.jpg")
    data = SimMIMData(tmp_path, **SMALL)
    data.setup("fit")
    for part in ("train", "val"):
        (tmp_path / part / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(OSError, match="None of the 1 images can be read"):
        data.train_set[0]
    assert [(len(images), targets) for images, targets in data.val_dataloader()] == [(0, [])]
    with pytest.raises(ValueError, match="1 of 1 validation images that were tried cannot be used"):
        data.setup("fit")


def test_files_that_are_passed_over(tmp_path, caplog):
    """Files that are no images by their suffix are counted, and an error if they are pictures, and more than images."""
    write(tmp_path / "train", "a/1.jpg", "2.jpg")
    (tmp_path / "train/a/3.psd").touch()
    SimMIMData(tmp_path, val=None, **SMALL).setup("fit")
    assert "Passed over 1 files of 3 (33%)" in caplog.text and "first a/3.psd" in caplog.text
    for name in ("4.psd", "5.heics"):
        (tmp_path / "train" / name).touch()
    with pytest.raises(ValueError, match=r"More than half of the pictures would be passed over: 3 files of 5 \(60%\)"):
        SimMIMData(tmp_path, val=None, **SMALL).setup("fit")


def test_very_long_images(tmp_path):
    """Of an image that is thousands of times longer than wide only the middle is enlarged."""
    write(tmp_path / "val", "1.png", size=(1, 20_000))
    data = SimMIMData(tmp_path, **SMALL)
    data.setup("validate")
    assert data.val_set[0][0].shape == (3, 32, 32)


def test_shapes_are_made(tmp_path):
    """Sample data needs no labels here."""
    data = SimMIMData(tmp_path / "shapes", shapes=Shapes(train=4, val=2, size=32), **SMALL)
    data.prepare_data()
    data.setup("fit")
    assert (len(data.train_set), len(data.val_set)) == (4, 2)


def test_nothing_there(tmp_path):
    """A missing folder, one without images, and nothing to do are said."""
    data = SimMIMData(tmp_path, val=None, **SMALL)
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*train of images; check data.root"):
        data.setup("fit")
    (tmp_path / "train").mkdir()
    with pytest.raises(FileNotFoundError, match=r"train has no images; looked for names that end in .jpg"):
        data.setup("fit")
    with pytest.raises(ValueError, match=r"nothing to validate on; name a folder of images with --data.val"):
        data.setup("validate")


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"scale_range": (0.9, 0.5)}, {"flip_prob": 2.0}])
def test_settings_out_of_range(options):
    """Numbers that make no sense are refused with those that do."""
    with pytest.raises(ValueError, match="give"):
        SimMIMData(**options)
