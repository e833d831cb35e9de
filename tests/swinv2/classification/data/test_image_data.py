"""Sets and batches of images."""

import pytest
import torch
from lightning import Trainer

from swinv2.shapes import Shapes


def trainer_at(epoch=0):
    """A trainer in some epoch."""
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit_loop.epoch_progress.current.completed = epoch
    return trainer


def test_training_batches(photos, data_of):
    """A batch is one tensor of images and one of their labels; a small one at the end is left out."""
    photos.add("train/bee/e.jpg", (photos.root / "train/bee/d.jpg").read_bytes())
    data = data_of(photos.root)
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert [(tuple(images.shape), len(labels)) for images, labels in batches] == 2 * [((2, 3, 16, 16), 2)]
    assert (batches[0][0].dtype, batches[0][1].dtype) == (torch.uint8, torch.int64)
    assert type(batches[0][0]) is torch.Tensor


def test_validation_batches(photos, data_of):
    """Validation gives all images in order, as a tensor and a list of targets."""
    data = data_of(photos.root, batch_size=3)
    data.setup("validate")
    (images, targets), last = data.val_dataloader()
    assert (images.shape, images.dtype, len(last[0])) == ((3, 3, 16, 16), torch.uint8, 1)
    assert targets[2] == {"label": 1, "labels": [], "name": "bee/c", "path": photos.root / "val/bee/c.jpg"}
    assert data.train_set is None


def test_training_order_is_random(photos, data_of):
    """Images, their order and their changes differ between epochs, and are the same when an epoch is run again."""
    data, epochs = data_of(photos.root, batch_size=4, rand_augment=(9.0, 0.5)), []
    data.setup("fit")
    for epoch in (0, 1, 0):
        data.trainer = trainer_at(epoch)
        ((images, _),) = data.train_dataloader()
        epochs.append(images)
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])


@pytest.mark.parametrize("pattern", ["train", "train-*.tar"])
def test_workers_do_not_change_images(photos, shards, pattern, data_of):
    """Images depend on the seed, not on the process that makes them, even where one cannot be read."""
    photos.add("train/ant/b.jpg", b"no image")
    batches = []
    for workers in (0, 2):
        torch.manual_seed(3)
        data = data_of(photos.root, train=pattern, classes="classes.txt", num_workers=workers, batch_size=4)
        photos.add("classes.txt", b"ant\nbee\ncat\n")
        data.setup("fit")
        batches.append(torch.cat([images for images, _ in data.train_dataloader()]))
        assert len(data.train_set.skipped) == (pattern == "train")
    assert torch.equal(*batches)


def test_shards_are_read_a_few_at_a_time(tmp_path, tar, jpeg, data_of):
    """In training only some shards are read from at a time, in another order each epoch."""
    for shard in range(20):
        samples = [(f"{shard}-{n}.{kind}", data) for n in range(3) for kind, data in (("jpg", jpeg()), ("cls", b"0"))]
        tar(tmp_path / f"{shard:02}.tar", samples)
    data = data_of(tmp_path, train="{00..19}.tar", val="00.tar", batch_size=1)
    data.setup("fit")
    orders = []
    for epoch in (0, 1, 0):
        data.trainer = trainer_at(epoch)
        order = [index // 3 for _, index in data.train_dataloader().sampler]
        assert len({*order[:24]}) == len({*order[24:48]}) == 8
        orders.append(order)
    assert orders[0] == orders[2] != orders[1]


def test_cut_off_shard(shards, caplog, data_of):
    """A shard cut off in the middle is trained on up to the cut, and the log counts it."""
    shard = shards.root / "train-001.tar"
    shard.write_bytes(shard.read_bytes()[:5000])
    data = data_of(shards.root, train="train-*.tar", val="train-000.tar", batch_size=1)
    data.setup("fit")
    assert 8 < len(list(data.train_dataloader())) < 12
    assert "1 of 3 shards are cut off" in caplog.text


def test_prediction(photos, caplog, data_of):
    """Prediction takes files, folders and globs, needs no classes, and leaves out what cannot be read."""
    photos.add("other/a.jpg", b"text")
    data = data_of(photos.root / "none", images=[f"{photos.root}/val", f"{photos.root}/*/a.jpg"], batch_size=8)
    data.setup("predict")
    ((images, targets),) = data.predict_dataloader()
    assert images.shape == (4, 3, 16, 16)
    assert [target["name"] for target in targets] == ["ant/a", "ant/b", "bee/c", "bee/d"]
    assert targets[3]["path"] == photos.root / "val/bee/d.jpg"
    assert "Skipped an image, 1 of 5 so far" in caplog.text


def test_sample_data_is_made(tmp_path, data_of):
    """Shapes are made where they are missing, and used as any other data."""
    data = data_of(tmp_path / "shapes", shapes=Shapes(train=8, val=4, size=32))
    data.prepare_data()
    data.prepare_data()
    data.setup("fit")
    assert (len(data.train_set), len(data.val_set), data.num_classes) == (8, 4, 4)
