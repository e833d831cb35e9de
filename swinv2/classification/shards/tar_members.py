"""Files in a tar file, found by their headers; damaged members and links out of it are left out."""

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
LONGEST = 1 << 20  # bytes of a header's extension, e.g. a long name
CHECKSUM = slice(148, 156)  # position in a header
ADLER = 65521  # modulus of Adler-32
CHUNK = 1 << 20
OUTSIDE = frozenset(("", ".", ".."))

OTHERS = {  # other files by their first bytes: description, and advice
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
    """File in a tar file.

    Attributes:
        name: path, without parts that would lead outside.
        offset: of the content, bytes; below 0 for a sparse file, and for a link that leads to no other member.
        size: bytes.
    """

    name: str
    offset: int
    size: int


class Header(tarfile.TarInfo):
    """Header of a member; for speed, only name and size are read if the member is a plain file."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "Header":
        """Header in a block of bytes, for tarfile; the positions of the fields are those of POSIX."""
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
    """Whether a header's checksum is right."""
    field = buf[CHECKSUM]
    said = octal(field)
    if said is None:
        return False
    others = said - len(field) * ord(" ")  # the field itself counts as blanks
    return (1 + others + sum(field)) % ADLER == zlib.adler32(buf) & 0xFFFF


def octal(field: bytes | bytearray) -> int | None:
    """Number in a field of a header; None if it is not written in octal digits."""
    digits = field.strip(b"\0 ")
    return int(digits, 8) if digits and not digits.strip(b"01234567") else None


def list_members(path: Path, file: BinaryIO) -> tuple[list[Member], bool]:
    """Complete files in a tar file, and whether its end is missing.

    Args:
        path: of the file, for the message.
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
    return members, file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE)  # a complete file ends with zeros


def headers_in(archive: tarfile.TarFile, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Headers of a tar file, or of several concatenated ones, up to where it is truncated or damaged.

    Args:
        archive: opened.
        file: underlying file.
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
    """Move past the end of a tar file to the next one, for files concatenated by `cat`.

    Args:
        archive: at its end.
        file: underlying file.

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
    """File of a header; None for a folder, a device, or an empty name.

    Args:
        header: of any member.
        known: earlier members by name.
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
    """Path without the parts "", "." and "..", which could lead outside of a folder."""
    parts = path.split("/")
    return path if OUTSIDE.isdisjoint(parts) else "/".join(part for part in parts if part not in OUTSIDE)


def no_tar_file(path: Path, file: BinaryIO, error: Exception) -> ValueError:
    """Error for a file that is no tar file.

    Args:
        path: of the file.
        file: opened.
        error: raised by tarfile.
    """
    file.seek(0)
    start = file.read(64).lstrip()
    for magic, (what, fix) in OTHERS.items():
        if start.startswith(magic):
            return ValueError(f"{path} is no tar file but {what}; shards are tar files, not compressed: {fix}.")
    return ValueError(f"{path} is no tar file ({error}); shards are tar files, not compressed.")
