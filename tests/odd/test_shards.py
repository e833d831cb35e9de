"""Shards as people have them, whole and damaged: images with the labels that were written, or an error."""

import gzip
import io
import json
import logging
import pickle
import random
import tarfile
from typing import NamedTuple

import numpy as np
import pytest

from swinv2.classification.shards.dataset import read_shards
from tests.odd.outcomes import try_all

KEYS = [
    *(
        "0017",
        "a",
        "n01440764/n01440764_10026",
        "./b/c",
        "é/道路",
        "x" * 120,
        "d" * 60 + "/" + "e" * 90,
        "sp ace",
        "k-1",
    ),
    *("deep/er/z", "UPPER", "../../outside", "/abs/olute", "cafe\u0301", "🚗", "q_2", "007"),
]
IMAGES = ["jpg", "jpeg", "JPEG", "png", "webp", "JPG", "bmp", "tif"]
WRONG = [  # what is no label in .json, and is none in .cls either
    *(True, False, float("nan"), float("inf"), 1.5, -1, [1], {}, "tench", "", "7th", 2**31, 10**30, "1_0", "0x1", [[]]),
]


class Given(NamedTuple):
    """A shard.

    Attributes:
        content: of the file.
        images: bytes and labels of the images that it has, in their order; None if there is no shard in it.
        is_sound: whether all images must be found. Of a damaged shard (False) some of them and no others; None if the
            damage is such that nothing can tell it from what was meant.
    """

    content: bytes
    images: list[tuple[bytes, int]] | None
    is_sound: bool | None


def label_file(rng, label):
    """Suffix and content of a file that has a label."""
    return rng.choice(
        [
            ("cls", f"{label}"),
            ("cls", f" {label}\r\n"),
            ("CLS", f"\ufeff{label}"),
            ("txt", f"{label}\n"),
            ("cls", f"{label}.0"),
            ("json", json.dumps({"label": label, "more": ["x", {"label": 3}]})),
            ("json", json.dumps({"label": f"{label}"})),
            ("JSON", json.dumps({"label": float(label)})),
        ]
    )


def wrong_file(rng):
    """Suffix and content of a file that has no label."""
    wrong = rng.choice(WRONG)
    return rng.choice(
        [
            ("json", json.dumps({"label": wrong})),
            ("json", json.dumps({"label": None})),
            ("json", rng.choice(["{", "[]", "7", "null", "[" * 50_000, "\xff", '{"other": 1}'])),
            ("cls", str(wrong) if wrong != "" else " "),
            ("cls", "\0\1\2"),
            ("cls", "9" * 5000),
            ("txt", "a photo of a dog"),
        ]
    )


def samples_of(rng, dots):
    """Members of a shard, and the images with their labels among them; with dots keys go up to the last one."""
    members, images = [], []
    for number, key in enumerate(rng.sample(KEYS, rng.randint(1, 8))):
        key = f"{key}.{number:03}" if dots else key
        photo = bytes(rng.randrange(256) for _ in range(rng.choice([1, 100, 511, 512, 513, 3000])))
        kind, label = rng.choice(IMAGES), rng.choice([0, 1, 5, 999, 2**31 - 1])
        kinds = [(kind, photo)]
        known = rng.random() < 0.8
        suffix, text = label_file(rng, label) if known else wrong_file(rng)
        kinds.append((suffix, text.encode()))
        if not dots and rng.random() < 0.3:
            kinds.append(rng.choice([("seg.png", b"mask"), ("npy", b"numbers"), ("mask.jpg", b"mask"), ("", b"?")]))
        rng.shuffle(kinds)
        members += [(f"{key}.{suffix}" if suffix else key, content) for suffix, content in kinds]
        images += [(photo, label)] * known
        if rng.random() < 0.15:
            members.append(
                rng.choice([("README", b"text"), (f"lone{number}.cls", b"3"), (f"._{number}.jpg", b"hidden")])
            )
    return members, images


def write(rng, members):
    """A tar file in any of the formats."""
    file = io.BytesIO()
    kind = rng.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        for name, content in members:
            if rng.random() < 0.05:
                folder = tarfile.TarInfo("folder.jpg" if rng.random() < 0.5 else "pipe.jpg")
                folder.type = tarfile.DIRTYPE if folder.name == "folder.jpg" else tarfile.FIFOTYPE
                archive.addfile(folder)
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), rng.choice([0, 1.5, 2e9])
            if kind == tarfile.PAX_FORMAT and rng.random() < 0.2:
                member.pax_headers = {"comment": "x" * rng.choice([3, 2000])}
            try:
                archive.addfile(member, io.BytesIO(content))
            except ValueError:  # a name too long for the oldest format
                return write(rng, members)
    return file.getvalue()


def make(rng: random.Random) -> Given:
    """A shard, one in two of them damaged."""
    members, images = samples_of(rng, dots=rng.random() < 0.2)
    content = write(rng, members)
    way = rng.choice(
        [whole] * 5 + [resized, doubled, cut, cut, overwritten, overwritten, flipped, resized, other, linked, sparse]
    )
    return way(rng, content, images)


def whole(rng, content, images):
    """A shard as it was written, with more or fewer zeros at its end."""
    content = content + bytes(rng.choice([0, 0, 10240, 700]))
    return Given(content, images or None, True)


def doubled(rng, content, images):
    """Two shards in one file, as `cat` leaves them."""
    members, first = samples_of(rng, dots=False)
    more, second = samples_of(rng, dots=False)
    content = write(rng, members) + write(rng, [(f"other/{name}", part) for name, part in more])
    return Given(content, (first + second) or None, True)


def cut(rng, content, images):
    """The start of a shard."""
    return Given(content[: rng.randrange(len(content))], images, False)


def overwritten(rng, content, images):
    """A shard with some blocks that are of something else."""
    data = bytearray(content)
    at, size = rng.randrange(len(data)), rng.choice([1, 512, 1500])
    data[at : at + size] = bytes(rng.choice([0, 7, 255, 48]) for _ in range(1)) * len(data[at : at + size])
    return Given(bytes(data), images, None)


def flipped(rng, content, images):
    """A shard with bits turned in its headers."""
    data = bytearray(content)
    starts = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    for _ in range(rng.choice([1, 3])):
        at = rng.choice(starts) + rng.choice(
            [0, 5, 60, 124, 130, 134, 148, 152, 156, 157, 257, 345, rng.randrange(512)]
        )
        data[at] ^= 1 << rng.randrange(8)
    return Given(bytes(data), images, False)


def resized(rng, content, images):
    """A shard with a size that is enormous or negative in a header whose sum is right."""
    data = bytearray(content)
    starts = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    at = rng.choice(starts)
    sizes = [
        b"77777777777\0",
        b"\x80" + b"\x7f" * 11,
        b"\xff" * 12,
        b"\xff" * 10 + b"\xfe\x00",
        b"           \0",
        b"0000000-512\0",
    ]
    data[at + 124 : at + 136] = rng.choice(sizes)
    if rng.random() < 0.5:
        data[at + 156] = rng.choice(b"xgLKSSX7DM")
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return Given(bytes(data), images, None)


def other(rng, content, images):
    """What is no tar file, or a compressed one."""
    ways = [
        gzip.compress(content),
        b"PK\x03\x04" + content,
        b"<html>" + content,
        b"",
        b"\x28\xb5\x2f\xfd" + bytes(2000),
    ]
    ways += [
        bytes(rng.randrange(256) for _ in range(3000)),
        b"\0" * 2048,
        b"version https://git-lfs.github.com/spec/v1\n" * 20,
    ]
    return Given(rng.choice(ways), None, True)


def linked(rng, content, images):
    """A shard with links to members of it, and to what is none."""
    file = io.BytesIO()
    photos = [bytes(rng.randrange(256) for _ in range(600)) for _ in range(3)]
    with tarfile.open(fileobj=file, mode="w", format=rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])) as archive:
        found = []

        def add(name, content=b"", target=None, kind=tarfile.REGTYPE):
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, target or ""
            archive.addfile(member, io.BytesIO(content))

        for at, photo in enumerate(photos):
            add(f"d/{at}.jpg", photo)
            add(f"d/{at}.cls", f"{at}".encode())
            found.append((photo, at))
        add("e/9.jpg", target="d/1.jpg", kind=tarfile.LNKTYPE)
        add("e/9.cls", b"9")
        add("d/8.jpg", target=rng.choice(["2.jpg", "../d/2.jpg", "./2.jpg"]), kind=tarfile.SYMTYPE)
        add("d/8.cls", b"8")
        add("d/7.jpg", target=rng.choice(["/etc/passwd", "../../x.jpg", "7.jpg", "d/99.jpg"]), kind=tarfile.SYMTYPE)
        add("d/7.cls", b"7")
    return Given(file.getvalue(), [*found, (photos[1], 9), (photos[2], 8)], True)


def sparse(rng, content, images):
    """A shard with a file with holes, whose bytes are not as they are stored."""
    data = bytearray(content)
    starts = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    at = rng.choice(starts)
    data[at + 156] = ord("S")
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return Given(bytes(data), images, False)


@pytest.fixture
def use(tmp_path):
    """Reads a shard twice, the second time with the index that was kept, and compares images and labels."""

    def read(given: Given) -> str | None:
        shard = tmp_path / "train.tar"
        shard.write_bytes(given.content)
        if random.Random(len(given.content)).random() < 0.7:
            (tmp_path / "train.tar.index.npz").unlink(missing_ok=True)  # else it is that of another shard
        for _ in range(2):
            try:
                images = read_shards(tmp_path, "train.tar")
            except (ValueError, OSError) as error:
                assert "train.tar" in str(error)
                most = given.images is not None and given.is_sound and len(given.images) > 0
                if most and "can be used" not in str(error) and "have no images with labels" not in str(error):
                    return f"refused: {error}"
                raise
            found = [(images.read(at), int(label)) for at, label in enumerate(images.labels)]
            if given.images is None:
                return f"{len(found)} images of what has none"
            if given.is_sound and found != given.images:
                return f"labels {[label for _, label in found]}, meant {[label for _, label in given.images]}"
            if given.is_sound is False and not {*found} <= {*given.images}:
                return f"labels {[label for _, label in found]} of others, meant {[one[1] for one in given.images]}"
        return None

    return read


def test_shards(use, caplog):
    """Shards of any format give their images and labels; damaged ones what is whole in them, or a clear error."""
    caplog.set_level(logging.CRITICAL)
    try_all(make, use)


class Hostile:
    """What leaves a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def spoilt(rng, kept: bytes, folder) -> bytes:
    """An index beside a shard that is not the one that was kept."""
    arrays = dict(np.load(io.BytesIO(kept)))
    name = rng.choice([*arrays])
    how = rng.randrange(9)
    if how == 0:
        data = bytearray(kept)
        for _ in range(rng.choice([1, 5, 50])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)
    if how == 1:
        return kept[: rng.randrange(len(kept))]
    if how == 2:
        return rng.choice([b"", b"PK\x05\x06" + bytes(18), pickle.dumps(Hostile(folder / "executed")), bytes(5000)])
    if how == 3:
        arrays[name] = np.array([Hostile(folder / "executed")], object)
    elif how == 4:
        arrays["labels"] = arrays["labels"][::-1].copy() + rng.choice([0, 1, -7])
    elif how == 5:
        arrays["offsets"] = arrays["offsets"] + rng.choice([512, -512, 2**62, -(2**62)])
    elif how == 6:
        arrays[name] = rng.choice([np.zeros((3, 3)), np.array("x"), np.arange(7), np.array([np.nan])])
    elif how == 7:
        del arrays[name]
    file = io.BytesIO()
    (np.savez_compressed if how == 8 else np.savez)(file, **arrays)
    data = file.getvalue()
    return data.replace(b"(8,)", b"(9,)") if rng.random() < 0.3 else data


def test_indices(tmp_path, caplog):
    """Whatever lies beside a shard in place of its index: images and labels are right, and nothing is executed."""
    caplog.set_level(logging.CRITICAL)
    shard, index = tmp_path / "train.tar", tmp_path / "train.tar.index.npz"
    images = [(bytes([at]) * 700, at % 3) for at in range(8)]
    pairs = [((f"{at}.jpg", photo), (f"{at}.cls", f"{label}".encode())) for at, (photo, label) in enumerate(images)]
    shard.write_bytes(write(random.Random(0), [member for pair in pairs for member in pair]))
    read_shards(tmp_path, "train.tar")
    kept = index.read_bytes()

    def use(content: bytes) -> str | None:
        index.write_bytes(content)
        found = read_shards(tmp_path, "train.tar")
        if (tmp_path / "executed").exists():
            return "executed"
        return None if [(found.read(at), int(one)) for at, one in enumerate(found.labels)] == images else "other images"

    try_all(lambda rng: spoilt(rng, kept, tmp_path), use)
