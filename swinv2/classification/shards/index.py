"""Index of the images in a WebDataset shard, made by one pass over the headers of its members.

A shard is a tar file. Files with the same path up to the first dot of the file name are one sample: `0017.jpg` with
`0017.cls`, its label as a number in text, or with `0017.json`, which has it as `label`; or alone, without a label. If
no sample has an image by this rule, the key of a sample goes up to the last dot.
"""

import hashlib
import logging
import uuid
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from ...files.arrays import read_arrays
from ...imaging.decoding.formats import SUFFIXES
from ..items import Strings
from .labels import UNLABELLED as UNLABELLED
from .labels import WRONG as WRONG
from .labels import read_label
from .tar_members import Member, list_members

logger = logging.getLogger(__name__)

IMAGES = tuple(suffix[1:] for suffix in SUFFIXES)
VERSION = 3  # raise it when the same shard no longer gives the same index
LOOKS, LOOK = 64, 512  # number of places in a shard that enter its fingerprint, and bytes of each
ROOM = 1 << 16  # bytes by which an index may be larger than its shard
LONGEST_WRONG = 400  # letters of `wrong`


class ShardIndex(NamedTuple):
    """Samples of a shard that have an image, in the order of the file.

    Attributes:
        files: names of the images in the shard, with suffix.
        offsets: of the images, bytes.
        sizes: of the images, bytes.
        labels: classes, or UNLABELLED or WRONG.
        wrong: first sample whose label is no number, and that label, as text; empty if there is none.
        incomplete: number of samples without an image.
        repeated: number of files with the name of an earlier one, in a sample or in another.
        cut: whether the end of the file is missing, or a header is damaged.
        by_last_dot: whether keys of samples go up to the last dot of a name.
    """

    files: Strings
    offsets: Int64[np.ndarray, " n"]
    sizes: Int64[np.ndarray, " n"]
    labels: Int32[np.ndarray, " n"]
    wrong: str
    incomplete: int
    repeated: int
    cut: bool
    by_last_dot: bool

    def labelled(self) -> "ShardIndex":
        """Index of the samples that have a label."""
        known = self.labels >= 0
        if known.all():
            return self
        files = Strings(file for file, there in zip(self.files, known.tolist(), strict=True) if there)
        return self._replace(
            files=files, offsets=self.offsets[known], sizes=self.sizes[known], labels=self.labels[known]
        )


in_memory: dict[tuple[Path, bytes], ShardIndex] = {}  # by shard and stamp, for shards in read-only folders


def index_shard(shard: Path) -> ShardIndex:
    """Index of a shard, read from the file beside it, or made now and saved there.

    If the folder cannot be written to, the index is kept in memory.

    Raises:
        ValueError: the shard is no tar file.
    """
    stamp = stamp_of(shard)
    kept = shard.with_name(f"{shard.name}.index.npz")
    index = in_memory.get((shard, stamp)) or load(kept, stamp, shard.stat().st_size)
    if index is None:
        index = scan(shard)
        if not save(kept, stamp, index):
            in_memory[shard, stamp] = index
    return index


def stamp_of(shard: Path) -> bytes:
    """Fingerprint of a shard's content: hash of its size, time, and bytes from all over it."""
    status = shard.stat()
    digest = hashlib.blake2b(f"{VERSION} {status.st_size} {status.st_mtime_ns}".encode(), digest_size=16)
    with shard.open("rb") as file:
        for place in np.linspace(0, max(status.st_size - LOOK, 0), LOOKS).astype(np.int64).tolist():
            file.seek(place)
            digest.update(file.read(LOOK))
    return digest.digest()


def load(path: Path, stamp: bytes, size: int) -> ShardIndex | None:
    """Saved index; None if there is none, or it is outdated or damaged.

    Args:
        path: of the index.
        stamp: fingerprint of the shard.
        size: of the shard, bytes.
    """
    try:
        arrays = read_arrays(path, size + ROOM)
        if arrays.pop("check").tobytes() != check_of(stamp, arrays):
            return None
        files = Strings(())
        files.text, files.ends = arrays.pop("text").tobytes(), arrays.pop("ends")
        scalars = {name: arrays[name].item() for name in ("wrong", "incomplete", "repeated", "cut", "by_last_dot")}
        index = ShardIndex(**arrays | {"files": files} | scalars)
        return index if is_sound(index, size) else None
    except Exception:  # it does not exist, or is no such file
        return None


def check_of(stamp: bytes, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Checksum of an index and the fingerprint of its shard."""
    digest = hashlib.blake2b(stamp, digest_size=16)
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.digest()


def is_sound(index: ShardIndex, size: int) -> bool:
    """Whether the parts of an index fit each other and the size of the shard."""
    ends, count = index.files.ends, len(index.labels)
    columns = [ends, index.offsets, index.sizes, index.labels]
    kinds = [column.dtype.str for column in columns] == ["<i8", "<i8", "<i8", "<i4"]
    shapes = [column.shape for column in columns] == [(count + 1,), (count,), (count,), (count,)]
    if not kinds or not shapes or len(index.wrong) > LONGEST_WRONG:
        return False
    texts = ends[0] == 0 and ends[-1] == len(index.files.text) and (np.diff(ends) >= 0).all()
    places = (index.offsets >= 0) & (index.sizes >= 0) & (index.sizes <= size) & (index.offsets <= size - index.sizes)
    return bool(texts and places.all() and (index.labels >= WRONG).all())


def save(path: Path, stamp: bytes, index: ShardIndex) -> bool:
    """Save an index, if the folder can be written to; several processes may do so at the same time."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    parts: dict[str, Any] = index._asdict()
    files = parts.pop("files")
    parts |= {"text": np.frombuffer(files.text, np.uint8), "ends": files.ends}
    arrays = {name: np.asarray(part) for name, part in parts.items()}
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays | {"check": np.frombuffer(check_of(stamp, arrays), np.uint8)})  # type: ignore[arg-type]
        partial.replace(path)
    except OSError as error:
        logger.info("The index of a shard is not kept, and each run makes it anew: %s", error)
        partial.unlink(missing_ok=True)
        return False
    return True


def scan(shard: Path) -> ShardIndex:
    """Index of a shard by the headers of its members and the content of its labels.

    Raises:
        ValueError: the shard is no tar file.
    """
    with shard.open("rb") as file:
        members, cut = list_members(shard, file)
        index = collect(file, members, cut, by_last_dot=False)
        if not len(index.labels) and any(image_kind(member.name) for member in members):
            index = collect(file, members, cut, by_last_dot=True)
    return index


def collect(file: BinaryIO, members: Sequence[Member], cut: bool, by_last_dot: bool) -> ShardIndex:
    """Index of the samples that members form.

    Args:
        file: the shard, opened.
        members: files in it, in order.
        cut: see `ShardIndex`.
        by_last_dot: see `ShardIndex`.
    """
    found: list[tuple[str, int, int, int]] = []
    names: set[str] = set()
    incomplete, repeated, wrong = 0, 0, ""
    parts_of = ((*key_and_kind(member.name, by_last_dot), member) for member in members)
    for key, group in groupby((one for one in parts_of if one[0]), lambda one: one[0]):
        several = list(group)
        parts = {kind: member for _, kind, member in several if member.offset >= 0}
        repeated += len(several) - len({kind for _, kind, _ in several})
        kind = next((kind for kind in IMAGES if kind in parts), None)
        if kind is None:
            incomplete += 1
            continue
        label, given = read_label(file, parts)
        wrong = wrong or (f"{key:.300} has {given}" if label == WRONG else "")
        repeated += f"{key}.{kind}" in names
        names.add(f"{key}.{kind}")
        found.append((f"{key}.{kind}", parts[kind].offset, parts[kind].size, label))
    files, *columns = zip(*found, strict=True) if found else ((), (), (), ())
    kinds = (np.int64, np.int64, np.int32)
    offsets, sizes, labels = (np.array(column, kind) for column, kind in zip(columns, kinds, strict=True))
    return ShardIndex(Strings(files), offsets, sizes, labels, wrong, incomplete, repeated, cut, by_last_dot)


def key_and_kind(name: str, by_last_dot: bool) -> tuple[str, str]:
    """Key of a file's sample, empty for a hidden file, and the rest of its name in lower case."""
    folder, _, file = name.rpartition("/")
    if file.startswith("."):
        return "", ""
    stem, dot, kind = file.rpartition(".") if by_last_dot else file.partition(".")
    stem, kind = (stem, kind) if dot else (file, "")
    return f"{folder}/{stem}" if folder else stem, kind.lower()


def image_kind(name: str) -> str:
    """Suffix of an image file; empty for other files."""
    kind = key_and_kind(name, by_last_dot=True)[1]
    return kind if kind in IMAGES else ""
