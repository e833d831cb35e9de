"""The files in a tar file, found by a look at their headers; what is damaged or leads elsewhere is no file in it."""

import os
import posixpath
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

EXTENSIONS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
LONGEST = 1 << 20  # bytes of a header's extension, as of a long name
CHECKSUM = slice(148, 156)  # place of it in a header
ADLER = 65521  # what sums are taken modulo
CHUNK = 1 << 20
OUTSIDE = frozenset(("", ".", ".."))

OTHERS = {  # what a file is that is no tar file, by its first bytes, and what to do
    b"\x1f\x8b": ("compressed by gzip", "decompress it with gunzip"),
    b"BZh": ("compressed by bzip2", "decompress it with bunzip2"),
    b"\xfd7zXZ": ("compressed by xz", "decompress it with unxz"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "decompress it with unzstd"),
    b"PK\x03\x04": ("a ZIP archive", "extract it, and write a tar file or give the folder"),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", "extract it, and write a tar file or give the folder"),
    b"Rar!": ("a RAR archive", "extract it, and write a tar file or give the folder"),
    b"version https://git-lfs": ("a pointer of git-lfs", "run git lfs pull"),
    b"<": ("a page of HTML or XML, such as servers send with an error", "fetch it again"),
}


class Member(NamedTuple):
    """A file in a tar file.

    Attributes:
        name: path, without what would lead outside.
        offset: of its content, bytes; below 0 for a link that leads to no other member, and for a file with holes.
        size: bytes.
    """

    name: str
    offset: int
    size: int


class Header(tarfile.TarInfo):
    """The header of a member; of a plain file only name and size are read, as there may be millions."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "Header":
        """Called by tarfile for each header; the places of the fields are those of POSIX."""
        name, size, kind, magic, prefix = buf[:100], octal(buf[124:136]), buf[156:157], buf[257:262], buf[345:346]
        plain = kind == tarfile.REGTYPE and magic == b"ustar" and prefix == b"\0" and size is not None
        if plain and has_checksum(buf):
            member = cls(name.partition(b"\0")[0].decode(encoding, errors))
            member.size = size or 0
            return member
        other = super().frombuf(buf, encoding, errors)
        if other.size < 0 or (other.type in EXTENSIONS and other.size > LONGEST):
            raise tarfile.ReadError(f"a header of {other.size} bytes")
        return other


def has_checksum(buf: bytes | bytearray) -> bool:
    """Whether the sum of a header's bytes is what it says."""
    field = buf[CHECKSUM]
    said = octal(field)
    if said is None:
        return False
    others = said - len(field) * ord(" ")  # the field itself counts as blanks
    return (1 + others + sum(field)) % ADLER == zlib.adler32(buf) & 0xFFFF


def octal(field: bytes | bytearray) -> int | None:
    """The number in a field of a header; None if it is written in another way than in digits."""
    digits = field.strip(b"\0 ")
    return int(digits, 8) if digits and not digits.strip(b"01234567") else None


def list_members(path: Path, file: BinaryIO) -> tuple[list[Member], bool]:
    """The files in a tar file that are there to their last byte, and whether it has lost its end.

    Args:
        path: where the file is, for the message.
        file: opened.

    Raises:
        ValueError: it is no tar file.
    """
    length = os.fstat(file.fileno()).st_size
    if length < tarfile.BLOCKSIZE:
        return [], True
    try:
        archive = tarfile.open(fileobj=file, mode="r:", tarinfo=Header)  # noqa: SIM115  (closing would not close the file)
    except Exception as error:  # tarfile raises many kinds for a damaged header
        raise no_tar_file(path, file, error) from error
    members: list[Member] = []
    known: dict[str, Member] = {}
    for header in headers_in(archive, file):
        if header.offset_data + header.size > length:
            return members, True
        if header.islnk() or header.issym():
            known |= {member.name: member for member in members[len(known) :]}
        member = member_of(header, known)
        if member is not None:
            members.append(member)
    file.seek(min(archive.offset, length))
    return members, file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE)  # what a whole one ends with


def headers_in(archive: tarfile.TarFile, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """The headers of a tar file, or of several one after the other, up to where it is cut off or damaged.

    Args:
        archive: opened.
        file: what it reads from.
    """
    last = -1
    while True:
        try:
            header = archive.next()
        except Exception:  # tarfile raises many kinds for a damaged header
            return
        if header is None:
            if not skip_zeros(archive, file):
                return
        elif header.size < 0 or header.offset <= last or archive.offset <= header.offset:
            return  # a damaged size would lead back
        else:
            last = header.offset
            yield header


def skip_zeros(archive: tarfile.TarFile, file: BinaryIO) -> bool:
    """Go to what follows the end of a tar file, if that is another one: `cat` puts several into one file.

    Args:
        archive: at its end.
        file: what it reads from.

    Returns:
        Whether anything but zeros follows.
    """
    place = archive.offset
    file.seek(place)
    while chunk := file.read(CHUNK):
        others = len(chunk) - len(chunk.lstrip(b"\0"))
        if others < len(chunk):
            skipped = place + others // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE - archive.offset
            archive.offset += skipped
            return skipped > 0
        place += len(chunk)
    return False


def member_of(header: tarfile.TarInfo, known: Mapping[str, Member]) -> Member | None:
    """The file that a header is of; None for a folder, a device, or a name that is none.

    Args:
        header: of any member.
        known: members before, by their names.
    """
    name = inside(header.name)
    if not name or not (header.isreg() or header.islnk() or header.issym()):
        return None
    if header.isreg():
        return Member(name, *((-1, 0) if header.issparse() else (header.offset_data, header.size)))
    start = "" if header.islnk() else posixpath.dirname(header.name)
    target = known.get(inside(posixpath.normpath(posixpath.join(start, header.linkname))))
    return Member(name, *((-1, 0) if target is None else target[1:]))


def inside(path: str) -> str:
    """A path without the parts that would lead outside of a folder, or that mean nothing."""
    parts = path.split("/")
    return path if OUTSIDE.isdisjoint(parts) else "/".join(part for part in parts if part not in OUTSIDE)


def no_tar_file(path: Path, file: BinaryIO, error: Exception) -> ValueError:
    """What is raised for a file of another kind.

    Args:
        path: of the file.
        file: opened.
        error: what reading it as a tar file has given.
    """
    file.seek(0)
    start = file.read(64).lstrip()
    for magic, (what, fix) in OTHERS.items():
        if start.startswith(magic):
            return ValueError(f"{path} is no tar file but {what}; shards are tar files, not compressed: {fix}.")
    return ValueError(f"{path} is no tar file ({error}); shards are tar files, not compressed.")
