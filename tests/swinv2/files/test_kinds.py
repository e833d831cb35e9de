import gzip
import io
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from swinv2.files.kinds import describe, kind_of

WEIGHTS = {"weight": torch.ones(3)}


def zipped(**members):
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return buffer.getvalue()


def tarred():
    """A tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pth"))
    return buffer.getvalue()


def arrays():
    """A file of NumPy."""
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(2))
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["weights", "weights.bin", "weights.safetensors", "weights.json"])
def test_kinds_are_told_by_content(tmp_path, name):
    """Whatever the suffix says."""
    path = tmp_path / name
    save_file(WEIGHTS, path)
    assert kind_of(path) == "safetensors"
    torch.save(WEIGHTS, path)
    assert kind_of(path) == "zip"
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False)
    assert kind_of(path) == "legacy"
    path.write_text("{}")
    assert kind_of(path) == "other"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "the file is empty"),
        (b"\n<!DOCTYPE html>", "a web page"),
        (b"\xef\xbb\xbf<html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of git-lfs"),
        (gzip.compress(b"x"), "compressed with gzip, not weights; take the checkpoint out of it"),
        (tarred(), "a tar archive"),
        (zipped(swin__pth=b"x"), r"a zip archive that holds swin.pth, not weights; take the checkpoint out"),
        (arrays(), r"an archive of NumPy arrays \(.npz\)"),
        (b"\x93NUMPY\x01\x00", "an array of NumPy"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as of Keras or TensorFlow"),
        (zipped(model__weights__h5=b"x", config__json=b"{}"), "a model of Keras"),
        (b"\x08\x07\x12\x07pytorch\x1a", "a model of ONNX"),
        (b"\x18\x00\x00\x00TFL3", "a model of TensorFlow Lite"),
        (b"GGUF\x03\x00", "a GGUF file"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
        (b"\x80\x04\x95\x00\x00", "a pickle of Python objects, which are not run here"),
        (b"epoch,loss\n1,2\n", r"a text \(epoch,loss …\)"),
        (bytes(700), "begins with 512 zeros"),
        (b"\xfe\x12\x00\x99 what", r"truncated or no checkpoint \(9 bytes\); download or copy it again"),
        (zipped(archive__data__pkl=b"x")[:60], "truncated or no checkpoint"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_what_is_no_checkpoint_is_said_to_be_what_it_is(tmp_path, data, what):
    """With what to do about it."""
    (tmp_path / "weights.pth").write_bytes(data)
    assert kind_of(tmp_path / "weights.pth") == "other"
    with pytest.raises(ValueError, match=what):
        raise ValueError(describe(tmp_path / "weights.pth"))


@pytest.mark.parametrize(
    ("suffix", "what"), [(".onnx", "ONNX"), (".pb", "TensorFlow"), (".msgpack", "Flax"), (".distcp", "dcp_to_torch")]
)
def test_what_has_no_start_of_its_own_is_told_by_its_suffix(tmp_path, suffix, what):
    """Binary files of other programs."""
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"\x0a\x99\x00\x03")
    assert what in describe(path)


def test_a_program_of_torchscript_is_no_checkpoint(tmp_path):
    """It would be run; its weights can be saved alone."""
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        for name in ("model/data.pkl", "model/constants.pkl", "model/code/model.py"):
            archive.writestr(name, b"x")
    assert kind_of(tmp_path / "model.pt") == "other"
    assert "a program of TorchScript, not weights" in describe(tmp_path / "model.pt")


def test_a_damaged_archive_is_no_checkpoint(tmp_path):
    """Wherever its list of parts is broken."""
    torch.save(WEIGHTS, tmp_path / "weights.pth")
    data = (tmp_path / "weights.pth").read_bytes()
    place = data.index(b"PK\x01\x02")
    (tmp_path / "weights.pth").write_bytes(data[:place] + bytes(4) + data[place + 4 :])
    assert kind_of(tmp_path / "weights.pth") == "other"
    assert "truncated or no checkpoint" in describe(tmp_path / "weights.pth")


def test_a_text_is_shown_from_its_first_words(tmp_path):
    """Empty lines at the start tell nobody what it is."""
    (tmp_path / "weights.pth").write_text("\n\nmodel: {}\n")
    assert "a text (model: {} …), not weights" in describe(tmp_path / "weights.pth")
