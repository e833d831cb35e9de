import argparse
import gzip

import numpy as np
import pytest
import torch

from swinv2.weights.files import open_checkpoint, read_checkpoint, write_checkpoint

WEIGHTS = {"patch_embed.proj.weight": torch.arange(48.0).view(1, 3, 4, 4), "norm.bias": torch.tensor([1.0, 2.0])}


class CfgNode(dict):
    """A configuration as the official training saves it beside the weights: a dictionary with attributes."""

    def __init__(self, **items):
        super().__init__(**items)
        self.__dict__["frozen"] = True


class Malicious:
    """An object that runs code when a careless program reads it."""

    def __reduce__(self):
        return (eval, ("1 / 0",))


def equal(state):
    """Whether these are the weights, to the bit."""
    return state.keys() == WEIGHTS.keys() and all(torch.equal(state[key], WEIGHTS[key]) for key in WEIGHTS)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin", ".ckpt"])
def test_written_tensors_are_read(tmp_path, suffix):
    """Each type of file holds the tensors exactly, in a folder made for it."""
    write_checkpoint(WEIGHTS, tmp_path / "new" / f"weights{suffix}")
    assert equal(read_checkpoint(tmp_path / "new" / f"weights{suffix}"))


def test_the_container_is_that_of_the_release(tmp_path):
    """With a container, a file of torch holds the tensors under its key."""
    write_checkpoint(WEIGHTS, tmp_path / "weights.pth", container="model")
    assert torch.load(tmp_path / "weights.pth", weights_only=True).keys() == {"model"}


def test_a_file_can_be_written_over_itself(tmp_path):
    """Tensors that lie in the file that is written are not lost."""
    for name in ("weights.pth", "weights.safetensors"):
        write_checkpoint(WEIGHTS, tmp_path / name)
        write_checkpoint(read_checkpoint(tmp_path / name), tmp_path / name)
        assert equal(read_checkpoint(tmp_path / name))


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    """What was there before stays, and the error names the file."""
    write_checkpoint(WEIGHTS, tmp_path / "weights.pth")

    def save(content, file):
        file.write(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(OSError, match=r"weights.pth cannot be written \("):
        write_checkpoint({}, tmp_path / "weights.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]
    assert equal(read_checkpoint(tmp_path / "weights.pth"))


def test_views_of_one_tensor_can_be_written(tmp_path):
    """Parts of a tensor are files of their own, without the rest."""
    rows = torch.arange(3000.0).chunk(3)
    for name in ("rows.pth", "rows.safetensors"):
        write_checkpoint({"q": rows[0], "v": rows[2]}, tmp_path / name)
        assert (tmp_path / name).stat().st_size < 12000
        assert torch.equal(read_checkpoint(tmp_path / name)["v"], rows[2])


def test_another_suffix_is_refused(tmp_path):
    """The error lists the types of files."""
    with pytest.raises(ValueError, match=r"ending in .safetensors, .pth, .pt, .bin, .ckpt, got weights.onnx"):
        write_checkpoint(WEIGHTS, tmp_path / "weights.onnx")


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"model": WEIGHTS, "epoch": 3},
        {"state_dict": WEIGHTS, "lr_schedulers": []},
        {"module": WEIGHTS},
        {"model": {"state_dict": WEIGHTS}},
        {"model": {"norm.bias": torch.zeros(2)}, "model_ema": WEIGHTS},
        {"state_dict": {f"module.{key}": value for key, value in WEIGHTS.items()}},
        {f"_orig_mod.{key}": value for key, value in WEIGHTS.items()},
        {"norm.bias": torch.nn.Parameter(WEIGHTS["norm.bias"])}
        | {"patch_embed.proj.weight": next(iter(WEIGHTS.values()))},
    ],
    ids=["plain", "official", "lightning", "module", "nested", "averaged", "parallel", "compiled", "parameter"],
)
def test_weights_are_taken_out_of_their_container(tmp_path, content):
    """Whatever a project wraps its weights in, they are found; averaged ones first."""
    torch.save(content, tmp_path / "checkpoint.pth")
    assert equal(read_checkpoint(content))
    assert equal(read_checkpoint(tmp_path / "checkpoint.pth"))


def test_old_files_of_torch_are_read(tmp_path):
    """So are files of before the zip format."""
    torch.save({"model": WEIGHTS}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert equal(read_checkpoint(tmp_path / "old.pth"))


@pytest.mark.parametrize(
    "extra",
    [
        CfgNode(lr=1),
        argparse.Namespace(lr=1),
        np.float64(81.8),
        np.arange(3.0),
        np.random.RandomState(0).get_state(),
        CfgNode,
    ],
    ids=["configuration", "options", "number", "array", "random state", "class"],
)
def test_objects_of_the_training_program_are_skipped(tmp_path, extra):
    """A checkpoint of a training run holds more than tensors; the rest is passed over."""
    torch.save({"model": WEIGHTS, "config": extra}, tmp_path / "ckpt_epoch_299.pth")
    assert equal(read_checkpoint(tmp_path / "ckpt_epoch_299.pth"))


def test_code_in_a_file_is_not_run(tmp_path):
    """An object that would run code is passed over like any other."""
    torch.save({"model": WEIGHTS, "config": Malicious()}, tmp_path / "evil.pth")
    assert equal(read_checkpoint(tmp_path / "evil.pth"))


class Items(list):
    """A list of its own type, which cannot be passed over."""


def test_objects_that_cannot_be_skipped_are_explained(tmp_path):
    """The error says how to save the tensors alone."""
    torch.save({"model": WEIGHTS, "history": Items([1])}, tmp_path / "mm.pth")
    with pytest.raises(ValueError, match=r"mm.pth cannot be read: it holds Python objects .* save the tensors alone"):
        read_checkpoint(tmp_path / "mm.pth")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_directory_is_searched(tmp_path, name):
    """A model saved as a folder is found in it."""
    write_checkpoint(WEIGHTS, tmp_path / name)
    assert equal(read_checkpoint(str(tmp_path)))


def test_a_directory_without_weights_is_refused(tmp_path):
    """The error names the files that are looked for."""
    with pytest.raises(FileNotFoundError, match=r"has no model.safetensors or pytorch_model.bin; give a file"):
        read_checkpoint(tmp_path)


def test_a_missing_file_is_refused(tmp_path):
    """The error says what can be given."""
    with pytest.raises(
        FileNotFoundError, match=r"gone.pth does not exist; give a file .*, an address .*, hf-hub:owner"
    ):
        read_checkpoint(tmp_path / "gone.pth")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, name, kept):
    """Wherever the download broke off, the error says so."""
    write_checkpoint({"weight": torch.rand(5000)}, tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ValueError, match=r"cannot be read: .*(truncated|empty).*; download or copy it again"):
        read_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\n<!DOCTYPE html><html>Sign in</html>", "it is a web page, not weights; use the link of the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\n", "pointer of git-lfs, not weights; run `git lfs pull` first"),
        (gzip.compress(b"weights", mtime=0), "a file compressed with gzip, not weights; take the checkpoint out of it"),
        (b"\x12weights", "truncated or no checkpoint"),
    ],
)
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_file_of_another_kind_is_refused(tmp_path, name, data, reason):
    """The error says what the file is."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=reason):
        read_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "listed"), [({"epoch": 3, "lr": 0.1}, "epoch, lr"), ({}, "nothing"), ([1], "list")]
)
def test_a_file_without_tensors_is_refused(tmp_path, content, listed):
    """The error lists what is there instead."""
    torch.save(content, tmp_path / "log.pth")
    with pytest.raises(ValueError, match=f"log.pth holds {listed} and no tensors; save the weights as torch.save"):
        read_checkpoint(tmp_path / "log.pth")


@pytest.mark.parametrize("source", ["", " "])
def test_an_empty_name_is_no_folder(source):
    """Path() would take it for the folder that one is in."""
    with pytest.raises(ValueError, match="a path, an address or a state dict, got an empty text"):
        open_checkpoint(source)


def test_a_name_that_no_file_can_have_does_not_exist():
    """Whatever the system says of names that are too long."""
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_checkpoint("x" * 5000)
