"""The files in a tar file."""

import gzip
import io
import os
import tarfile
import time

import pytest

from swinv2.classification.shards.tar_members import Member, list_members


def members_of(path):
    """The files in a tar file, and whether it is cut."""
    with path.open("rb") as file:
        return list_members(path, file)


def write(path, *members):
    """Write a tar file of headers, each with content or none."""
    with tarfile.open(path, "w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def link(name, target, kind):
    """The header of a link."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def test_links_within_the_file(tmp_path):
    """Hard and symbolic links are the files that they lead to; those that lead elsewhere have nothing."""
    path = write(
        tmp_path / "a.tar",
        (tarfile.TarInfo("d/a.jpg"), b"image"),
        link("e/b.jpg", "d/a.jpg", tarfile.LNKTYPE),
        link("e/c.jpg", "../d/a.jpg", tarfile.SYMTYPE),
        link("e/d.jpg", "/etc/passwd", tarfile.SYMTYPE),
    )
    members, cut = members_of(path)
    assert members == [
        Member("d/a.jpg", 512, 5),
        Member("e/b.jpg", 512, 5),
        Member("e/c.jpg", 512, 5),
        Member("e/d.jpg", -1, 0),
    ]
    assert not cut


def test_names_that_lead_outside(tmp_path):
    """Names lose what would lead outside of a folder; folders and devices are no files."""
    folder = tarfile.TarInfo("folder.jpg")
    folder.type = tarfile.DIRTYPE
    names = ("../../a.jpg", "/etc/b.jpg", "./c/./d.jpg", "e//f.jpg")
    path = write(tmp_path / "a.tar", (folder, b""), *((tarfile.TarInfo(name), b"x") for name in names))
    assert [member.name for member in members_of(path)[0]] == ["a.jpg", "etc/b.jpg", "c/d.jpg", "e/f.jpg"]


def test_several_tar_files_in_one(tmp_path):
    """What follows the end of a tar file, as `cat` puts it there, is found, too."""
    parts = [write(tmp_path / f"{name}.tar", (tarfile.TarInfo(name), b"x" * 700)).read_bytes() for name in "abc"]
    (tmp_path / "all.tar").write_bytes(b"".join(parts))
    members, cut = members_of(tmp_path / "all.tar")
    assert ([member.name for member in members], cut) == (["a", "b", "c"], False)
    assert {(tmp_path / "all.tar").read_bytes()[one.offset : one.offset + one.size] for one in members} == {b"x" * 700}


@pytest.mark.parametrize("place", [0, 30, 124, 130, 148, 156])
def test_damaged_headers(tmp_path, place):
    """A header one bit of which is wrong ends the file there, whatever the bit is of."""
    path = write(tmp_path / "a.tar", *((tarfile.TarInfo(name), b"x") for name in ("a.jpg", "b.jpg")))
    data = bytearray(path.read_bytes())
    data[1024 + place] ^= 1
    path.write_bytes(data)
    members, cut = members_of(path)
    assert ([member.name for member in members], cut) == (["a.jpg"], True)


@pytest.mark.parametrize("size", [b"\xff" * 11 + b"\x00", b"\xff" * 10 + b"\xfe\x00", b"\x80" + b"\x7f" * 11])
@pytest.mark.parametrize("kind", [b"0", b"L", b"x", b"S"])
def test_sizes_that_lead_back_or_far_beyond(tmp_path, size, kind):
    """A size below zero has no end if it is followed, and an enormous one takes all memory; both are damage."""
    path = write(tmp_path / "a.tar", *((tarfile.TarInfo(name), b"x") for name in ("a.jpg", "b.jpg", "c.jpg")))
    data = bytearray(path.read_bytes())
    data[1024 + 124 : 1024 + 136] = size
    data[1024 + 156 : 1024 + 157] = kind
    data[1024 + 148 : 1024 + 156] = b" " * 8
    data[1024 + 148 : 1024 + 156] = b"%06o\0 " % sum(data[1024:1536])
    path.write_bytes(data)
    begin = time.monotonic()
    members, cut = members_of(path)
    there = [member.name for member in members if member.offset >= 0]
    assert (there, cut, time.monotonic() - begin < 2) == (["a.jpg"], True, True)


def test_holes(tmp_path):
    """The bytes of a file with holes are not as they are stored; it has nothing."""
    header = bytearray(tarfile.TarInfo("a.jpg").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a.tar").write_bytes(bytes(header) + bytes(1024))
    assert members_of(tmp_path / "a.tar") == ([Member("a.jpg", -1, 0)], False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            gzip.compress(os.urandom(2000)),
            "compressed by gzip; shards are tar files, not compressed: decompress .* gunzip",
        ),
        (b"PK\x03\x04" + bytes(600), "a ZIP archive"),
        (b"\n<!DOCTYPE html>" + bytes(600), "a page of HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n" * 20, "git lfs pull"),
        (b"x" * 2000, r"no tar file \("),
    ],
)
def test_files_of_other_kinds(tmp_path, content, message):
    """What is no tar file is said by its first bytes, with what to do."""
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.tar is no tar file.*{message}|{message}"):
        members_of(tmp_path / "a.tar")
