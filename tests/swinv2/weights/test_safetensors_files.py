"""Files of safetensors that were altered."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from swinv2.weights.safetensors_files import DIGEST, check_digest, write_safetensors

TENSORS = {"a": torch.arange(12.0).reshape(3, 4), "b": torch.ones(5, dtype=torch.int64), "none": torch.zeros(0)}


@pytest.fixture
def file(tmp_path):
    """A file of ours."""
    write_safetensors(tmp_path / "a.safetensors", TENSORS)
    return tmp_path / "a.safetensors"


def test_files_are_those_of_the_library(file, tmp_path):
    """It reads them as its own, and a file without a digest passes."""
    found = load_file(file)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[key], value) for key, value in TENSORS.items())
    save_file(TENSORS, tmp_path / "other.safetensors")
    for path in (file, tmp_path / "other.safetensors"):
        check_digest(path)


def test_every_altered_byte_of_the_tensors_is_noticed(file):
    """The library alone reads them in silence."""
    data = file.read_bytes()
    assert DIGEST.encode() in data
    start = 8 + int.from_bytes(data[:8], "little")
    for place in range(start, len(data)):
        altered = bytearray(data)
        altered[place] ^= 1
        file.write_bytes(altered)
        with pytest.raises(ValueError, match="not those that were written"):
            check_digest(file)
