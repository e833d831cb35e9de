"""The index of a shard."""

import io
import json
import logging
import os
import tarfile

import numpy as np
import pytest

from swinv2.classification.shards.index import UNLABELLED, WRONG, index_shard


def files(index):
    """Names and labels in an index."""
    return list(zip(index.files, index.labels.tolist(), strict=True))


def test_samples(shards):
    """Each image comes with its label and its place in the file, in the order of the file."""
    shard = shards.root / "train-001.tar"
    index = index_shard(shard)
    assert files(index) == [("0004.jpg", 1), ("0005.jpg", 2), ("0006.jpg", 0), ("0007.jpg", 1)]
    assert (index.incomplete, index.cut) == (0, False)
    with tarfile.open(shard) as archive:
        for name, offset, size in zip(index.files, index.offsets, index.sizes, strict=True):
            assert shard.read_bytes()[offset : offset + size] == archive.extractfile(name).read()


def test_kinds_of_members(tmp_path, tar):
    """Samples may lie in folders, have long names, files beside, and labels as JSON; hidden files do not count."""
    long = "n01440764/" + 150 * "x"
    shard = tar(
        tmp_path / "a.tar",
        [
            ("./n01440764/._a.JPEG", b"hidden"),
            ("./n01440764/a.JPEG", b"image"),
            ("./n01440764/a.json", json.dumps({"label": 7, "filename": "a"}).encode()),
            ("./n01440764/a.seg.png", b"other"),
            (f"{long}.cls", b"3\n"),
            (f"{long}.json", b"{}"),
            (f"{long}.webp", b"webp"),
        ],
    )
    assert files(index_shard(shard)) == [("n01440764/a.jpeg", 7), (f"{long}.webp", 3)]


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("folder", ["a", 80 * "b", "ä"])
def test_kinds_of_tar_files(tmp_path, kind, folder):
    """Each of the three ways to write a tar file gives the same names, long ones and others, and the same bytes."""
    name = f"{folder}/{60 * 'c'}"
    with tarfile.open(tmp_path / "a.tar", "w", format=kind) as archive:
        for kind, content in (("jpg", 700 * b"x"), ("cls", b"12\n")):
            member = tarfile.TarInfo(f"{name}.{kind}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    index = index_shard(tmp_path / "a.tar")
    assert files(index) == [(f"{name}.jpg", 12)]
    start = int(index.offsets[0])
    assert (tmp_path / "a.tar").read_bytes()[start : start + 700] == 700 * b"x"


def test_incomplete_samples(tmp_path, tar):
    """A sample without an image is not there, and counted; one without a label, or with JSON that has none, is."""
    members = [("a.jpg", b"x"), ("b.cls", b"0"), ("c.jpg", b"x"), ("c.json", b"{}"), ("d.jpg", b"x"), ("d.cls", b"1")]
    index = index_shard(tar(tmp_path / "a.tar", members))
    assert files(index) == [("a.jpg", UNLABELLED), ("c.jpg", UNLABELLED), ("d.jpg", 1)]
    assert (index.incomplete, index.wrong) == (1, "")
    assert files(index.labelled()) == [("d.jpg", 1)]
    assert (index.labelled().offsets, index.labelled().sizes) == (index.offsets[2:], index.sizes[2:])


@pytest.mark.parametrize(
    ("name", "content", "label"),
    [
        ("CLS", b"7", 7),
        ("cls", b"\xef\xbb\xbf 7.0\r\n", 7),
        ("txt", b"7\n", 7),
        ("json", b'{"label": "7"}', 7),
        ("json", b'{"label": 7.0}', 7),
        ("json", b'{"label": null}', UNLABELLED),
        ("json", b'{"label": true}', WRONG),
        ("json", b'{"label": NaN}', WRONG),
        ("json", b'{"label": [7]}', WRONG),
        ("json", b'{"label": 7.5}', WRONG),
        ("json", b"[" * 100_000, WRONG),
        ("cls", b"1_0", WRONG),
        ("cls", b"2147483648", WRONG),
        ("cls", b"7" * 5000, WRONG),
        ("txt", b"a photo", UNLABELLED),
    ],
)
def test_forms_of_labels(tmp_path, tar, name, content, label):
    """A label is a whole number as text or in JSON; what is none is marked, and nothing large is read for it."""
    shard = tar(tmp_path / "a.tar", [("a.JPG", b"x"), (f"a.{name}", content)])
    assert files(index_shard(shard)) == [("a.jpg", label)]


def test_label_of_the_next_source(tmp_path, tar):
    """A .cls that is no number does not hide the number in .json."""
    shard = tar(tmp_path / "a.tar", [("a.jpg", b"x"), ("a.cls", b"tench"), ("a.json", b'{"label": 3}')])
    assert (files(index_shard(shard)), index_shard(shard).wrong) == ([("a.jpg", 3)], "")


def test_keys_with_dots(tmp_path, tar):
    """Where no key up to the first dot has an image, keys go up to the last dot; elsewhere they do not."""
    members = [("img.0001.jpg", b"x"), ("img.0001.cls", b"1"), ("img.0002.jpg", b"y"), ("img.0002.cls", b"2")]
    index = index_shard(tar(tmp_path / "a.tar", members))
    assert (files(index), index.by_last_dot) == ([("img.0001.jpg", 1), ("img.0002.jpg", 2)], True)
    index = index_shard(tar(tmp_path / "b.tar", [("a.jpg", b"x"), ("a.seg.png", b"y"), ("a.cls", b"1"), *members]))
    assert (files(index), index.by_last_dot, index.incomplete) == ([("a.jpg", 1)], False, 1)


def test_names_that_come_again(tmp_path, tar):
    """Of one sample the last file of a name counts, of samples apart each; both are counted."""
    members = [("a.jpg", b"x"), ("a.jpg", b"yy"), ("a.cls", b"1"), ("b.jpg", b"x"), ("b.cls", b"2"), ("a.jpg", b"zzz")]
    index = index_shard(tar(tmp_path / "a.tar", [*members, ("a.cls", b"3")]))
    assert files(index) == [("a.jpg", 1), ("b.jpg", 2), ("a.jpg", 3)]
    assert (index.sizes.tolist(), index.repeated) == ([2, 1, 3], 2)


@pytest.mark.parametrize("part", [0.999, 0.8, 0.5, 0.3, 0.1, 0.0])
def test_cut_off(shards, part):
    """Whatever is whole before the cut is there, wherever the cut is, and nothing behind it."""
    shard = shards.root / "train-001.tar"
    data = shard.read_bytes()
    whole = index_shard(shard)
    end = int(part * len(data))
    shard.write_bytes(data[:end])
    index = index_shard(shard)
    known = [pair for pair, offset, size in zip(files(whole), whole.offsets, whole.sizes, strict=True)
             if offset + size <= end]  # fmt: skip
    assert files(index) == known
    assert index.cut == (end < len(data.rstrip(b"\0")) + 512)


def test_every_cut(shards):
    """At each block, and in the middle of each, a cut leaves the images before it and never an error."""
    shard = shards.root / "train-000.tar"
    data = shard.read_bytes()
    whole = index_shard(shard)
    ends = whole.offsets + whole.sizes
    content = int(-(-int(ends[-1]) // 512) * 512)
    for end in range(0, content + 1, 256):
        shard.write_bytes(data[:end])
        index = index_shard(shard)
        assert len(index.labels) == sum(ends <= end)
        assert index.cut


def test_overwritten_middle(shards):
    """A shard whose middle is overwritten counts as cut off there."""
    shard = shards.root / "train-000.tar"
    data = bytearray(shard.read_bytes())
    place = int(index_shard(shard).offsets[2]) - 512  # the header of the third image
    data[place : place + 512] = 512 * b"\x07"
    shard.write_bytes(data)
    index = index_shard(shard)
    assert (len(index.labels), index.cut) == (2, True)


def test_no_tar_file(tmp_path):
    """A file of another kind, or a compressed one, is an error."""
    (tmp_path / "a.tar").write_bytes(b"\x1f\x8b" + 2000 * b"x")
    with pytest.raises(ValueError, match=r"a\.tar is no tar file .*not compressed"):
        index_shard(tmp_path / "a.tar")


@pytest.mark.parametrize(
    ("member", "given"),
    [
        (("b.cls", b"tench"), "b'tench'"),
        (("b.cls", b"-1"), "b'-1'"),
        (("b.json", b"{"), "b'{'"),
        (("b.json", b'{"label": "7th"}'), "'7th'"),
        (("b.json", b"7"), "b'7'"),
        (("b.json", b'{"label": "' + 99 * b"x" + b'"}'), "'" + 29 * "x"),
    ],
)
def test_label_that_is_no_number(tmp_path, tar, member, given):
    """A label that is no number from 0 is marked, and the first such is known with its sample, also when kept."""
    shard = tar(tmp_path / "a.tar", [("a.jpg", b"x"), ("a.cls", b"3"), ("b.jpg", b"x"), member, ("c.jpg", b"x")])
    for _ in range(2):
        index = index_shard(shard)
        assert files(index) == [("a.jpg", 3), ("b.jpg", WRONG), ("c.jpg", UNLABELLED)]
        assert index.wrong == f"b has {given}"


def test_index_is_kept(shards, monkeypatch):
    """The index is made once, and read from the file beside the shard from then on."""
    shard = shards.root / "train-000.tar"
    first = index_shard(shard)
    assert (shards.root / "train-000.tar.index.npz").is_file()
    monkeypatch.setattr(tarfile, "open", None)
    again = index_shard(shard)
    assert files(again) == files(first)
    assert again.offsets.tolist() == first.offsets.tolist()
    assert (again.incomplete, again.cut) == (0, False)


def test_index_of_a_changed_shard(shards):
    """A shard that has changed since is looked at again."""
    shard = shards.root / "train-000.tar"
    index_shard(shard)
    shards.add("train-000.tar", [5, 6])
    os.utime(shard, ns=(1, 1))
    assert [name for name, _ in files(index_shard(shard))] == ["0005.jpg", "0006.jpg"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text"])
def test_damaged_index(shards, content):
    """An index that is none is made again."""
    kept = shards.root / "train-000.tar.index.npz"
    kept.write_bytes(content)
    assert len(index_shard(shards.root / "train-000.tar").labels) == 4
    assert kept.stat().st_size > 100


@pytest.mark.parametrize("change", ["labels", "offsets", "missing", "object", "compressed"])
def test_index_that_somebody_has_changed(shards, change):
    """An index that is not as it was kept is made again: one with other labels or places, or what could be executed."""
    shard, kept = shards.root / "train-000.tar", shards.root / "train-000.tar.index.npz"
    index_shard(shard)
    arrays = dict(np.load(kept))
    if change in ("labels", "offsets"):
        arrays[change] = arrays[change] + 1
    elif change == "missing":
        del arrays["ends"]
    elif change == "object":
        arrays["labels"] = np.array([print] * 4, object)
    (np.savez_compressed if change == "compressed" else np.savez)(kept, **arrays)
    assert files(index_shard(shard)) == [("0000.jpg", 0), ("0001.jpg", 1), ("0002.jpg", 2), ("0003.jpg", 0)]
    assert np.load(kept)["labels"].tolist() == [0, 1, 2, 0]


def test_index_of_another_shard_of_the_same_size_and_time(shards):
    """An index of a shard in whose place another one was put, whatever its time says, is made again."""
    shard = shards.root / "train-000.tar"
    index_shard(shard)
    status = shard.stat()
    shards.add("train-000.tar", [1, 2, 3, 4])
    os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (shard.stat().st_size, shard.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert [name for name, _ in files(index_shard(shard))] == ["0001.jpg", "0002.jpg", "0003.jpg", "0004.jpg"]


def test_pipe_in_place_of_an_index(shards):
    """What would wait for its writer is not read."""
    os.mkfifo(shards.root / "train-000.tar.index.npz")
    assert len(index_shard(shards.root / "train-000.tar").labels) == 4


def test_folder_that_cannot_be_written_to(shards, monkeypatch, caplog):
    """Where nothing can be written the index stays in memory until the shard changes, and nothing is left lying."""

    def fail(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("swinv2.classification.shards.index.np.savez", fail)
    with caplog.at_level(logging.INFO):
        assert len(index_shard(shards.root / "train-000.tar").labels) == 4
    assert "not kept" in caplog.text
    with monkeypatch.context() as closed:
        closed.setattr(tarfile, "open", None)
        assert len(index_shard(shards.root / "train-000.tar").labels) == 4
    shards.add("train-000.tar", [5, 6])
    os.utime(shards.root / "train-000.tar", ns=(1, 1))
    assert len(index_shard(shards.root / "train-000.tar").labels) == 2
    assert sorted(path.name for path in shards.root.iterdir()) == [f"train-00{number}.tar" for number in range(3)]
