"""Arrays that are read from a file which anybody may have changed."""

import io
import os
import zipfile

import numpy as np
import pytest

from swinv2.files.arrays import read_arrays

MOST = 1 << 16


def header(shape):
    """The beginning of an array of NumPy."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


def test_arrays(tmp_path):
    """What was saved is read."""
    np.savez(tmp_path / "a.npz", numbers=np.arange(5), text=np.array("x"))
    found = read_arrays(tmp_path / "a.npz", MOST)
    assert found["numbers"].tolist() == [0, 1, 2, 3, 4] and found["text"].item() == "x"


def test_a_pipe_and_a_large_file_are_not_opened(tmp_path):
    """One would wait for its writer, the other take all memory."""
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "large.npz").touch()
    os.truncate(tmp_path / "large.npz", 1 << 40)
    for name, reason in (("pipe", "is a pipe"), ("large", "has more than 65,536 bytes")):
        with pytest.raises(ValueError, match=f"{name}.npz {reason}"):
            read_arrays(tmp_path / f"{name}.npz", MOST)


def test_compressed_arrays_are_refused(tmp_path):
    """A few bytes can stand for terabytes."""
    np.savez_compressed(tmp_path / "a.npz", zeros=np.zeros(1 << 20))
    with pytest.raises(ValueError, match=r"a\.npz is compressed"):
        read_arrays(tmp_path / "a.npz", MOST)


def test_a_shape_without_its_numbers_is_refused(tmp_path):
    """Whether there would be memory for it or not."""
    for shape in ((1 << 50,), (1 << 20,)):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("a.npy", header(shape))
        with pytest.raises((ValueError, MemoryError)):
            read_arrays(tmp_path / "a.npz", MOST)
