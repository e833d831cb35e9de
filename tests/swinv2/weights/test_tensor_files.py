import argparse
import io
import os
import re
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from swinv2.weights.tensor_files import damage_of, read_file

WEIGHTS = {"weight": torch.arange(500.0)}


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "a.bin", "a"])
@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_suffixes_may_lie(tmp_path, name, kind):
    """A file is read as what it is."""
    path = tmp_path / name
    if kind == "safetensors":
        save_file(WEIGHTS, path)
    else:
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=kind == "zip")
    assert torch.equal(read_file(path)["weight"], WEIGHTS["weight"])


def test_a_changed_byte_is_noticed(tmp_path):
    """Torch itself would give other numbers."""
    path = tmp_path / "weights.pth"
    torch.save(WEIGHTS, path)
    data = bytearray(path.read_bytes())
    place = data.index(WEIGHTS["weight"].numpy().tobytes()) + 1000
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        ValueError, match=r"truncated or damaged \(.* bytes; Bad CRC-32 .*\); download or copy it again"
    ):
        read_file(path)


def test_files_without_sums_are_read(tmp_path):
    """Torch can be told not to write them."""
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(WEIGHTS, tmp_path / "weights.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_file(tmp_path / "weights.pth")["weight"], WEIGHTS["weight"])


def test_compressed_parts_are_read(tmp_path):
    """As whoever packs an archive anew makes them."""
    torch.save(WEIGHTS, tmp_path / "weights.pth")
    old, new = (
        zipfile.ZipFile(tmp_path / "weights.pth"),
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED),
    )
    with old, new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert torch.equal(read_file(tmp_path / "packed.pth")["weight"], WEIGHTS["weight"])


class Items(list):
    """A list of its own type, which cannot be passed over."""


@pytest.mark.parametrize("zipped", [True, False])
def test_advice_to_run_what_is_in_a_file_reaches_nobody(tmp_path, zipped):
    """Torch's message has it, ours and its causes have not."""
    content = {"model": WEIGHTS, "history": Items([1]), "args": argparse.Namespace(lr=1)}
    torch.save(content, tmp_path / "weights.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="Python objects that cannot be skipped") as caught:
        read_file(tmp_path / "weights.pth")
    assert caught.value.__suppress_context__ and "weights_only" not in str(caught.value)


def test_whole_modules_are_mappings_with_attributes(tmp_path):
    """A model that was saved as an object has its tensors in what it is made of."""
    torch.save({"model": nn.Sequential(nn.Linear(2, 3))}, tmp_path / "model.pt")
    model = read_file(tmp_path / "model.pt")["model"]
    assert vars(vars(model)["_modules"]["0"])["_parameters"]["weight"].shape == (3, 2)


@pytest.mark.parametrize(("content", "name"), [([1], "list"), (torch.ones(2), "Tensor"), (None, "NoneType")])
def test_what_is_no_mapping_is_named(tmp_path, content, name):
    """So that a message can say what there is."""
    torch.save(content, tmp_path / "weights.pth")
    assert read_file(tmp_path / "weights.pth").keys() == {name}


def test_objects_of_any_state_are_no_damage(tmp_path):
    """What cannot be passed over is said to be so, also where torch stumbles over it."""
    torch.save({"model": WEIGHTS, "log": io.BytesIO(b"text")}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="Python objects that cannot be skipped"):
        read_file(tmp_path / "weights.pth")


def archive(path, pickle, parts=(), **options):
    """An archive as torch writes it."""
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, data in (("data.pkl", pickle), ("version", b"3\n"), ("byteorder", b"little"), *parts):
            file.writestr(f"archive/{name}", data)
    return path


def test_parts_that_unpack_to_far_more_are_not_unpacked(tmp_path):
    """Zeros are packed a thousandfold, weights never."""
    path = archive(tmp_path / "a.pth", b"\x80\x02}.", [("data/0", bytes(1 << 27))], compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(
        ValueError, match=r"damaged \(.*; its parts unpack to 134,217,\d+ bytes, which those of weights"
    ):
        read_file(path)
    assert "unpack to 134,217," in damage_of(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_bytes_by_their_number_are_not_made(tmp_path, zipped):
    """A pickle of 40 bytes could take all memory."""
    path = tmp_path / "a.pth"
    made = b"c__builtin__\nbytearray\n\x8a\x05\0\0\0\0\x04\x85R"
    if zipped:
        archive(path, b"\x80\x02" + made + b".")
        assert "Python objects" in damage_of(path)
        path.write_bytes(without_sums(path.read_bytes()))
    else:
        torch.save({"a": WEIGHTS}, path, _use_new_zipfile_serialization=False)
        path.write_bytes(path.read_bytes().replace(b"X\x01\0\0\0a", made))
    with pytest.raises(ValueError, match="Python objects that cannot be skipped"):
        read_file(path)


def without_sums(data):
    """An archive whose check sums are zero, as torch can be told to write it."""
    return re.sub(rb"(PK\x03\x04.{10}|PK\x01\x02.{12}).{4}", rb"\1\0\0\0\0", data, flags=re.DOTALL)


def test_a_pipe_is_not_opened(tmp_path):
    """It would wait for its writer."""
    os.mkfifo(tmp_path / "a.pth")
    with pytest.raises(ValueError, match="it is a pipe, a socket or a device"):
        read_file(tmp_path / "a.pth")
    assert "it is a pipe" in damage_of(tmp_path / "a.pth")


@pytest.mark.parametrize("content", [b"\n\n", b" " * 600, b"\r\n\t"])
def test_blanks_are_no_weights(tmp_path, content):
    """As an editor leaves them; the message is a sentence like that for other texts."""
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"it is a text \(of blanks …\), not weights"):
        read_file(tmp_path / "weights.pth")
