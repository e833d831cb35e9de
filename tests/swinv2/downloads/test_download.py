import hashlib
import os
import shutil
import threading
from types import SimpleNamespace

import pytest

from swinv2.downloads import download as downloads
from swinv2.downloads.download import download
from swinv2.files.whole import NoRoomError

DATA = bytes(range(256)) * 16


def fetch(address, path, digest="", check=lambda part: None):
    """Download a file and give its content."""
    download(address, path, digest, check)
    return path.read_bytes()


def files(folder):
    """What is in a folder, without what is hidden but parts."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".locks")


def test_a_file_is_recorded(web, tmp_path):
    """Its SHA-256 lies beside it, and nothing else does."""
    assert fetch(web.serve("/a", DATA), tmp_path / "in/a") == DATA
    assert files(tmp_path / "in") == ["a", "a.sha256"]
    assert (tmp_path / "in/a.sha256").read_text().startswith(hashlib.sha256(DATA).hexdigest())


@pytest.mark.parametrize("version", [{"ETag": '"1"'}, {"Last_Modified": "Mon, 02 Jan 2023 10:00:00 GMT"}])
def test_what_broke_off_is_continued(web, tmp_path, version):
    """From the byte where it did, if the server has still the same version."""
    address = web.serve("/a", DATA, sent=1000, **version)
    with pytest.raises(
        ConnectionError, match=r"broke off after 1,000 of 4,096 bytes; the next try goes on from byte 1,000"
    ):
        fetch(address, tmp_path / "a")

    def rest(handler):
        if "Range" not in handler.headers:
            return web.serve("/b", DATA, **version) and web.answers["/b"](handler)
        web.serve("/b", DATA[1000:], status=206, Content_Range="bytes 1000-4095/4096", **version)
        return web.answers["/b"](handler)

    web.answers["/a"] = rest
    assert fetch(address, tmp_path / "a") == DATA
    asked = web.requests[-1].headers
    assert (asked["Range"], asked["If-Range"]) == ("bytes=1000-", next(iter(version.values())))
    assert files(tmp_path) == ["a", "a.sha256"]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {}),
        (206, {"Content_Range": "bytes 0-4095/4096"}),
        (206, {"Content_Range": "bytes 1000-4095/9999"}),
        (206, {"Content_Range": "bytes 1000-4095/4096", "ETag": '"2"'}),
        (416, {}),
        (206, {}),
    ],
    ids=["all of it", "other bytes", "other length", "other version", "refused", "not said"],
)
def test_what_cannot_be_continued_starts_anew(web, tmp_path, status, headers):
    """A server that answers a request for the rest with anything but just that."""
    address = web.serve("/a", DATA, sent=1000, ETag='"1"')
    with pytest.raises(ConnectionError):
        fetch(address, tmp_path / "a")
    web.serve("/whole", DATA, ETag='"1"')
    web.serve("/rest", b"x" * 3096, status=status, **({"ETag": '"1"'} | headers))
    web.answers["/a"] = lambda handler: web.answers["/rest" if "Range" in handler.headers else "/whole"](handler)
    assert fetch(address, tmp_path / "a") == DATA


def test_another_version_starts_anew(web, tmp_path):
    """Nothing of the old one is left."""
    with pytest.raises(ConnectionError):
        fetch(web.serve("/a", b"x" * 4096, sent=1000, ETag='"1"'), tmp_path / "a")
    assert fetch(web.serve("/a", DATA, ETag='"2"'), tmp_path / "a") == DATA
    assert files(tmp_path) == ["a", "a.sha256"]


@pytest.mark.parametrize("version", [{}, {"ETag": 'W/"1"'}])
def test_versions_that_cannot_be_told_apart_are_not_mixed(web, tmp_path, version):
    """What broke off of them is not kept."""
    with pytest.raises(ConnectionError, match=r"\(it broke off after 1,000 of 4,096 bytes\)"):
        fetch(web.serve("/a", DATA, sent=1000, **version), tmp_path / "a")
    assert files(tmp_path) == []


def test_a_long_download_goes_on_by_itself(web, tmp_path, monkeypatch):
    """As long as each try brings something."""
    monkeypatch.setattr(downloads, "_PROGRESS", 100)

    def answer(handler):
        start = int((handler.headers["Range"] or "bytes=0-")[6:-1])
        ranged = {"status": 206, "Content_Range": f"bytes {start}-4095/4096"} if start else {}
        web.serve("/part", DATA[start:], sent=1500, ETag='"1"', **ranged)
        web.answers["/part"](handler)

    web.answers["/a"] = answer
    assert fetch(web.address + "/a", tmp_path / "a") == DATA


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Content_Length": "-5"}, "it declares a length of '-5' bytes"),
        ({"Content_Length": "abc"}, "it declares a length of 'abc' bytes"),
        ({"Content_Length": "9" * 5000}, "it declares a length of '999"),
        ({"Content_Length": "٣"}, "it declares a length of"),
        ({"Content_Encoding": "gzip"}, r"it is sent compressed \(gzip\)"),
        ({"status": 204}, "the server answers with status 204 in place of a file"),
        ({"status": 500}, "HTTP Error 500"),
    ],
)
def test_wrong_declarations_are_explained(web, tmp_path, headers, reason):
    """The error has the address, the reason, and where to copy the file."""
    if not str(headers.get("Content_Length", "")).isascii():
        headers = {"Content_Length": headers["Content_Length"].encode().decode("latin-1")}
    with pytest.raises(ConnectionError, match=rf"/a cannot be downloaded \({reason}.*copy the file to .*/a\."):
        fetch(web.serve("/a", DATA, **headers), tmp_path / "a")
    assert files(tmp_path) == []


def test_a_file_needs_room(web, tmp_path):
    """What is declared is compared with what is free before the first byte is written."""
    with pytest.raises(NoRoomError, match=r"takes 1,000,000,000,000,000 bytes, and [\d,]+ are free. .* TORCH_HOME"):
        fetch(web.serve("/a", DATA, Content_Length=10**15), tmp_path / "a")
    assert files(tmp_path) == []


def test_a_file_without_a_length_has_a_limit(web, tmp_path, monkeypatch):
    """Endless bodies end."""
    monkeypatch.setattr(downloads, "LONGEST", 4000)
    with pytest.raises(ConnectionError, match="more than 4,000 bytes came, of a file without a declared length"):
        fetch(web.serve("/a", DATA, Content_Length=None), tmp_path / "a")
    assert files(tmp_path) == []


def test_useless_files_end_early(web, tmp_path):
    """The first bytes are looked at before the others come, and nothing is kept."""

    def check(part):
        assert part.stat().st_size >= 512
        raise ValueError("a web page")

    with pytest.raises(ValueError, match="a web page"):
        fetch(web.serve("/a", DATA, ETag='"1"', Content_Length=10**9), tmp_path / "a", check=check)
    assert files(tmp_path) == []


@pytest.mark.parametrize("published", ["name", "header"])
def test_what_is_published_is_compared(web, tmp_path, published):
    """By the name of the file, or by what the hub says of it."""
    digest, other = hashlib.sha256(DATA).hexdigest(), "0a" * 32
    headers = [{"X_Linked_Etag": f'"{value}"'} if published == "header" else {} for value in (other, digest)]
    names = [value[:8] if published == "name" else "" for value in (other, digest)]
    with pytest.raises(ConnectionError, match=r"its SHA-256 should begin with 0a0a0a0a.*, and is "):
        fetch(web.serve("/a", DATA, **headers[0]), tmp_path / "a", names[0])
    assert files(tmp_path) == []
    assert fetch(web.serve("/a", DATA, **headers[1]), tmp_path / "a", names[1]) == DATA


def test_one_of_several_downloads(web, tmp_path):
    """The others wait, and find the file."""
    address = web.serve("/a", DATA)
    threads = [threading.Thread(target=fetch, args=(address, tmp_path / "a")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(web.requests) == 1


def test_a_full_disk_leaves_nothing(web, tmp_path, monkeypatch):
    """The error says what to change."""

    def check(part):
        raise OSError(28, os.strerror(28))

    with pytest.raises(NoRoomError, match=r"no space for .*: the file has 4,096 bytes so far, and none are free"):
        fetch(web.serve("/a", DATA, ETag='"1"'), tmp_path / "a", check=check)
    assert files(tmp_path) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=4000))
    with pytest.raises(NoRoomError, match="takes 4,096 bytes, and 4,000 are free"):
        fetch(web.serve("/a", DATA), tmp_path / "a")


def test_passwords_are_not_repeated(tmp_path):
    """Neither in the error nor in the log."""
    with pytest.raises(ConnectionError, match=r"http://127.0.0.1:1/x cannot be downloaded") as caught:
        fetch("http://me:secret@127.0.0.1:1/x", tmp_path / "a")
    assert "secret" not in str(caught.value)
