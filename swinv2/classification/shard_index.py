"""Where the images of a WebDataset shard are in it, found by one look at the headers of its members.

A shard is a tar file. What has the same path up to the first dot of the file's name is one sample: `0017.jpg` with
`0017.cls`, its label as a number in text, or with `0017.json`, which has it as `label`; or alone, without a label.
"""

import json
import logging
import os
import re
import tarfile
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from .items import Strings

logger = logging.getLogger(__name__)

IMAGES = ("jpg", "jpeg", "png", "webp")
SHOWN = 30  # letters of what is no label
OCTAL = re.compile(rb" *[0-7]+[\0 ]*")
UNLABELLED, WRONG = -1, -2  # in place of a label: there is none, or it is no number
VERSION = 2  # to be raised when the same shard no longer gives the same index


class Member(NamedTuple):
    """A file in a shard.

    Attributes:
        key: what it has in common with the others of its sample.
        kind: suffix without the dot, in small letters.
        offset: of its content, bytes.
        size: bytes.
    """

    key: str
    kind: str
    offset: int
    size: int


class ShardIndex(NamedTuple):
    """The samples of a shard that have an image, in the order of the file.

    Attributes:
        files: their names in the shard, with suffix.
        offsets: where their images begin, bytes.
        sizes: of their images, bytes.
        labels: their classes, UNLABELLED or WRONG.
        wrong: which sample has the first label that is no number, and what that is; empty if there is none.
        incomplete: number of samples without an image.
        cut: whether the end of the file is missing.
    """

    files: Strings
    offsets: Int64[np.ndarray, " n"]
    sizes: Int64[np.ndarray, " n"]
    labels: Int32[np.ndarray, " n"]
    wrong: str
    incomplete: int
    cut: bool

    def labelled(self) -> "ShardIndex":
        """The samples that have a label, too."""
        known = self.labels >= 0
        if known.all():
            return self
        files = Strings(file for file, there in zip(self.files, known.tolist(), strict=True) if there)
        return self._replace(
            files=files, offsets=self.offsets[known], sizes=self.sizes[known], labels=self.labels[known]
        )


in_memory: dict[tuple[Path, bytes], ShardIndex] = {}  # of shards and their stamps, in folders that are read-only


def index_shard(shard: Path) -> ShardIndex:
    """The index of a shard, from the file beside it or else made now and left there.

    If the folder cannot be written to it is left in memory, for as long as the process runs.

    Raises:
        ValueError: it is no tar file.
    """
    status = shard.stat()
    stamp = np.array([VERSION, status.st_size, status.st_mtime_ns])
    kept = shard.with_name(f"{shard.name}.index.npz")
    index = in_memory.get((shard, stamp.tobytes())) or load(kept, stamp)
    if index is None:
        index = scan(shard)
        if not save(kept, stamp, index):
            in_memory[shard, stamp.tobytes()] = index
    return index


def load(path: Path, stamp: Int64[np.ndarray, "3"]) -> ShardIndex | None:
    """A kept index, or None if there is none of this state of the shard."""
    try:
        with path.open("rb") as file, np.load(file) as kept:
            if not np.array_equal(kept["stamp"], stamp):
                return None
            files = Strings(())
            files.text, files.ends = kept["text"].tobytes(), kept["ends"]
            wrong, incomplete, cut = str(kept["wrong"]), int(kept["incomplete"]), bool(kept["cut"])
            return ShardIndex(files, kept["offsets"], kept["sizes"], kept["labels"], wrong, incomplete, cut)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # none, or not written to its end
        return None


def save(path: Path, stamp: Int64[np.ndarray, "3"], index: ShardIndex) -> bool:
    """Keep an index, if the folder can be written to; several processes may do so at the same time."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    text = np.frombuffer(index.files.text, np.uint8)
    try:
        with partial.open("wb") as file:
            np.savez(file, stamp=stamp, text=text, ends=index.files.ends, **index._asdict() | {"files": 0})
        partial.replace(path)
    except OSError as error:
        logger.info("The index of a shard is not kept, and each run makes it anew: %s", error)
        partial.unlink(missing_ok=True)
        return False
    return True


def scan(shard: Path) -> ShardIndex:
    """Look at the headers of all members of a shard, and at its labels.

    Raises:
        ValueError: it is no tar file.
    """
    found: list[tuple[str, int, int, int]] = []
    incomplete, wrong = 0, ""
    with shard.open("rb") as file:
        members, cut = list_members(shard, file)
        for key, group in groupby(members, lambda member: member.key):
            parts = {member.kind: member for member in group}
            image = next((parts[kind] for kind in IMAGES if kind in parts), None)
            if image is None:
                incomplete += 1
                continue
            label, given = read_label(file, parts)
            wrong = wrong or (f"{key} has {given}" if label == WRONG else "")
            found.append((f"{key}.{image.kind}", image.offset, image.size, label))
    files, *columns = zip(*found, strict=True) if found else ((), (), (), ())
    offsets, sizes, labels = (
        np.array(column, kind) for column, kind in zip(columns, (np.int64, np.int64, np.int32), strict=True)
    )
    return ShardIndex(Strings(files), offsets, sizes, labels, wrong, incomplete, cut)


def list_members(shard: Path, file: BinaryIO) -> tuple[list[Member], bool]:
    """The files in a shard that are there to their last byte, and whether the shard has lost its end.

    Args:
        shard: where the file is, for the message.
        file: opened.

    Raises:
        ValueError: it is no tar file.
    """
    length = os.fstat(file.fileno()).st_size
    if length < tarfile.BLOCKSIZE:
        return [], True
    try:
        archive = tarfile.open(fileobj=file, mode="r:", tarinfo=Header)  # noqa: SIM115  (closing would not close the file)
    except tarfile.ReadError as error:
        raise ValueError(f"{shard} is no tar file ({error}); shards are tar files, not compressed.") from error
    members: list[Member] = []
    for member in headers(archive):
        if member.offset_data + member.size > length:
            return members, True
        folder, _, name = member.name.removeprefix("./").rpartition("/")
        stem, _, kind = name.partition(".")
        if member.isfile() and stem:
            members.append(
                Member(f"{folder}/{stem}" if folder else stem, kind.lower(), member.offset_data, member.size)
            )
    file.seek(archive.offset)
    return members, file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE)  # what a whole one ends with


class Header(tarfile.TarInfo):
    """The header of a member; of a plain file only name and size are read, as there may be millions."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "Header":
        """Called by tarfile for each header; the places of the fields are those of POSIX."""
        name, size, kind, magic, prefix = buf[:100], buf[124:136], buf[156:157], buf[257:262], buf[345:346]
        if kind != tarfile.REGTYPE or magic != b"ustar" or prefix != b"\0" or not OCTAL.fullmatch(size):
            return super().frombuf(buf, encoding, errors)
        member = cls(name.partition(b"\0")[0].decode(encoding, errors))
        member.size = int(size.rstrip(b"\0 "), 8)
        return member


def headers(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of a tar file up to where it is cut off."""
    try:
        yield from iter(archive.next, None)
    except tarfile.ReadError:
        return


def read_label(file: BinaryIO, parts: Mapping[str, Member]) -> tuple[int, str]:
    """The label of a sample, UNLABELLED or WRONG, and for this what is there instead.

    Args:
        file: the shard, opened.
        parts: members of the sample by their kind.
    """
    member = parts.get("cls") or parts.get("json")
    if member is None:
        return UNLABELLED, ""
    file.seek(member.offset)
    content = file.read(member.size)
    try:
        label = int(content) if member.kind == "cls" else json.loads(content).get("label")
    except (ValueError, AttributeError):
        label = content[:SHOWN]
    if label is None:
        return UNLABELLED, ""
    fits = isinstance(label, int) and 0 <= label < 2**31
    return (label, "") if fits else (WRONG, f"{label!r:.{SHOWN}}")
