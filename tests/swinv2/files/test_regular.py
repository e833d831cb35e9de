"""What is no file, or too large to be the one that is looked for."""

import os
import socket
from pathlib import Path

import pytest

from swinv2.files.regular import is_special, read_small


@pytest.fixture
def specials(tmp_path, monkeypatch):
    """A pipe, a socket, a device, and a link to one."""
    monkeypatch.chdir(tmp_path)  # as names of sockets are short
    os.mkfifo("pipe")
    Path("link").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
        yield [Path(name) for name in ("pipe", "socket", "/dev/zero", "link")]


def test_pipes_sockets_and_devices_are_special(specials, tmp_path):
    """Files, folders and what is not there are not."""
    (tmp_path / "file").touch()
    assert all(map(is_special, specials))
    assert not any(map(is_special, (tmp_path, tmp_path / "file", tmp_path / "gone", Path("a\0b"))))


def test_they_are_not_opened(specials):
    """The message says what to do."""
    for path in specials:
        with pytest.raises(ValueError, match=f"{path} is a pipe, a socket or a device, which may never end; write"):
            read_small(path, 10)


def test_small_files(tmp_path):
    """Up to a number of bytes they are read."""
    (tmp_path / "a").write_bytes(b"0123456789")
    assert read_small(tmp_path / "a", 10) == b"0123456789"
    with pytest.raises(ValueError, match="a has 10 bytes, and such a file 9 at most"):
        read_small(tmp_path / "a", 9)
