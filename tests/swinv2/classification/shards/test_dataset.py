"""Images in shards."""

import logging
import pickle
from threading import Barrier

import pytest

from swinv2.classification.shards import dataset as shards_module
from swinv2.classification.shards.dataset import OpenFiles, read_shards
from swinv2.classification.shards.patterns import expand, find_shards
from swinv2.imaging.reading import UnreadableImageError

PATTERN = "train-{000..002}.tar"


def test_images(shards, jpeg):
    """The images of all shards come in order, and can be read in any order."""
    images = read_shards(shards.root, PATTERN)
    assert len(images) == 12
    assert images.labels.tolist() == 4 * [0, 1, 2]
    assert images.shards == [4, 4, 4]
    for index in (11, 0, 5, 4, 3, 7, 8):
        assert images.read(index) == jpeg(20 * index)
    assert images[5] == (shards.root / "train-001.tar/0005.jpg", 2, "0005")


def test_few_files_are_open(shards, jpeg):
    """No more files stay open than are allowed, and reading goes on with those that were closed."""
    images = read_shards(shards.root, PATTERN)
    images.open_files = OpenFiles(most=2)
    for index in (0, 4, 8, 1, 5):
        assert images.read(index) == jpeg(20 * index)
        assert len(images.open_files.handles) <= 2


def test_other_processes_open_files_themselves(shards, jpeg):
    """A copy for another process has no files open, and reads the same."""
    images = read_shards(shards.root, PATTERN)
    images.read(0)
    copy = pickle.loads(pickle.dumps(images))
    assert not copy.open_files.handles
    assert copy.read(9) == jpeg(180)


def test_cut_off_shards_are_counted(shards, caplog, jpeg):
    """A shard cut off in the middle gives what is before the cut, and the log says how many and which."""
    shard = shards.root / "train-001.tar"
    shard.write_bytes(shard.read_bytes()[:5000])
    for _ in range(2):  # the second time from the kept index
        caplog.clear()
        images = read_shards(shards.root, PATTERN)
        assert images.shards[0] == images.shards[2] == 4
        assert 0 < images.shards[1] < 4
        assert "1 of 3 shards are cut off" in caplog.text
        assert f"train-001.tar (after {images.shards[1]} images)" in caplog.text
    assert images.read(len(images) - 1) == jpeg(220)


def test_empty_shard(shards):
    """A shard of which nothing has arrived has no images, and those of the others are found."""
    (shards.root / "train-001.tar").write_bytes(b"")
    images = read_shards(shards.root, PATTERN)
    assert images.shards == [4, 0, 4]
    assert images[4].name == "0008"


def test_incomplete_samples_are_counted(shards, tar, caplog):
    """The log counts samples without image, without label, and with one that is no number, and shows the first."""
    members = [("a.jpg", b"x"), ("b.cls", b"1"), ("c.jpg", b"x"), ("d.jpg", b"x"), ("d.cls", b"tench")]
    tar(shards.root / "train-001.tar", members)
    images = read_shards(shards.root, PATTERN)
    assert (images.shards, images.labels.min()) == ([4, 0, 4], 0)
    assert "Passed over 1 samples" in caplog.text and "that lack an image" in caplog.text
    assert f"Passed over 2 images without a label, the first in {shards.root / 'train-001.tar'}" in caplog.text
    assert "Passed over 1 images whose label is no number" in caplog.text
    assert f"{shards.root / 'train-001.tar'}, where d has b'tench'; give the number of the class, from 0" in caplog.text


def test_keys_with_dots_are_told(tmp_path, tar, caplog):
    """Where names are taken up to their last dot the log says so, once."""
    for shard in range(2):
        tar(tmp_path / f"{shard}.tar", [(f"img.{shard}.jpg", b"x"), (f"img.{shard}.cls", b"1")])
    assert [item.name for item in read_shards(tmp_path, "*.tar")] == ["img.0", "img.1"]
    assert (
        caplog.text.count("no key up to the first dot has an image; keys go up to the last dot, as in img.0.jpg") == 1
    )


def test_file_that_is_no_shard(shards, caplog):
    """One file that is no shard does not end a run for the others; more than half are an error."""
    (shards.root / "train-001.tar").write_bytes(b"<html>" + bytes(600))
    assert read_shards(shards.root, PATTERN).shards == [4, 4]
    assert "Skipped 1 of 3 shards" in caplog.text and "train-001.tar is no tar file but a page of HTML" in caplog.text
    (shards.root / "train-002.tar").write_bytes(b"\x1f\x8b" + bytes(600))
    with pytest.raises(ValueError, match=r"2 of 3 shards .* cannot be used, first: .*train-001\.tar is no tar file"):
        read_shards(shards.root, PATTERN)


def test_most_samples_are_lost(tmp_path, tar):
    """If more than half of the samples have no image or no label, that is an error."""
    tar(tmp_path / "a.tar", [("a.jpg", b"x"), ("a.cls", b"1"), ("b.jpg", b"x"), ("c.jpg", b"x"), ("d.cls", b"1")])
    with pytest.raises(ValueError, match=r"Of 4 samples in the shards .* only 1 can be used; the messages above say"):
        read_shards(tmp_path, "a.tar")


def test_image_of_a_gigabyte(shards):
    """A file that no image is as large as is not read into memory."""
    images = read_shards(shards.root, PATTERN)
    images.sizes[0] = 1 << 31
    with pytest.raises(UnreadableImageError, match=r"0000\.jpg has 2147483648 bytes; an image has 1073741824 at most"):
        images.read(0)


def test_labels_are_not_needed(shards, tar, jpeg, caplog):
    """All images are there where labels do not matter, and the log has nothing to say of these."""
    tar(shards.root / "train-001.tar", [("a.jpg", jpeg(7)), ("b.jpg", b"x"), ("b.cls", b"tench")])
    images = read_shards(shards.root, PATTERN, labelled=False)
    assert images.shards == [4, 2, 4]
    assert images.read(4) == jpeg(7)
    assert caplog.text == ""


def test_shards_are_looked_into_at_the_same_time(shards, monkeypatch):
    """Several threads wait for the disk, each for another shard."""
    together, index_shard = Barrier(3, timeout=20), shards_module.index_shard
    monkeypatch.setattr(shards_module, "index_shard", lambda shard: (together.wait(), index_shard(shard))[1])
    assert read_shards(shards.root, PATTERN).labels.tolist() == 4 * [0, 1, 2]


@pytest.mark.parametrize(
    ("labelled", "wanted"), [(True, "with labels; looked for pairs like"), (False, "; looked for")]
)
def test_no_images(tmp_path, tar, labelled, wanted):
    """Shards without any image, or pair of image and label, are an error that says what was looked for."""
    tar(tmp_path / "a.tar", [("a.jpg" if labelled else "a.cls", b"1")])
    with pytest.raises(FileNotFoundError, match=rf"no images ?{wanted} .*0017\.jpg"):
        read_shards(tmp_path, "a.tar", labelled)


def test_shard_that_has_become_shorter(shards):
    """An image that is not there any more cannot be read, and neither can one of a shard that is gone."""
    images = read_shards(shards.root, PATTERN)
    (shards.root / "train-001.tar").write_bytes(b"")
    (shards.root / "train-002.tar").unlink()
    for index, message in ((7, r"0007\.jpg is cut short"), (8, r"train-002\.tar cannot be opened")):
        with pytest.raises(UnreadableImageError, match=message):
            images.read(index)


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("a.tar", ["a.tar"]),
        ("a{08..11}.tar", ["a08.tar", "a09.tar", "a10.tar", "a11.tar"]),
        ("{b,a}/{0..1}.tar", ["b/0.tar", "b/1.tar", "a/0.tar", "a/1.tar"]),
        ("a{000..000}.tar", ["a000.tar"]),
    ],
)
def test_braces(pattern, texts):
    """Braces stand for ranges of numbers, with leading zeros, and for choices, as in a shell."""
    assert expand(pattern) == texts


def test_globs(shards):
    """Globs give shards in the order of their names, and none comes twice."""
    found = [path.name for path in find_shards(shards.root, "{train-002,train-*}.tar")]
    assert found == ["train-002.tar", "train-000.tar", "train-001.tar"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("train-{000..146}.tar", r"144 of the shards .*are not there, first .*train-003\.tar, .*train-\*\.tar"),
        ("val-*.tar", r"1 of the shards .*val-\*\.tar"),
        ("train-{2..1}.tar", "no shards"),
    ],
)
def test_missing_shards(shards, pattern, message):
    """Shards that are not there are counted, and the first are named."""
    with pytest.raises(FileNotFoundError, match=message):
        find_shards(shards.root, pattern)


def test_nothing_to_say(shards, caplog):
    """Of whole shards the log has no warning."""
    with caplog.at_level(logging.WARNING):
        read_shards(shards.root, PATTERN)
    assert caplog.text == ""
