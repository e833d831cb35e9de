import json

import pytest
import torch
from safetensors.torch import save_file

from swinv2.weights.files import read_checkpoint

KEYS = [f"layers.{i}.weight" for i in range(5)]
WEIGHTS = {key: torch.full((2,), float(i)) for i, key in enumerate(KEYS)}


def sharded(folder, kind="safetensors", **places):
    """Two shards and their index; some of its places may be other ones."""
    stem = "model" if kind == "safetensors" else "pytorch_model"
    files = {f"{stem}-0000{i + 1}-of-00002.{kind}": KEYS[i::2] for i in range(2)}
    for name, keys in files.items():
        (save_file if kind == "safetensors" else torch.save)({key: WEIGHTS[key] for key in keys}, folder / name)
    known = {key: name for name, keys in files.items() for key in keys}
    index = folder / f"{stem}.{kind}.index.json"
    index.write_text(
        json.dumps(
            {"metadata": {}, "weight_map": known | {key.replace("_", "."): place for key, place in places.items()}}
        )
    )
    return index


def equal(state):
    """Whether these are the weights."""
    return state.keys() == WEIGHTS.keys() and all(torch.equal(state[key], WEIGHTS[key]) for key in KEYS)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards_are_read_by_folder_and_by_index(tmp_path, kind):
    """Tensors of all files come together."""
    index = sharded(tmp_path, kind)
    assert equal(read_checkpoint(tmp_path))
    assert equal(read_checkpoint(index))


def test_shards_of_windows_and_in_folders_are_found(tmp_path):
    """Backslashes are as good as slashes."""
    index = sharded(tmp_path)
    (tmp_path / "parts").mkdir()
    (tmp_path / "model-00001-of-00002.safetensors").rename(tmp_path / "parts/model-00001-of-00002.safetensors")
    content = json.loads(index.read_text())
    content["weight_map"] = {
        k: v.replace("model-00001", "parts\\model-00001") for k, v in content["weight_map"].items()
    }
    index.write_text(json.dumps(content))
    assert equal(read_checkpoint(index))


@pytest.mark.parametrize("new", [None, "model-1.safetensors"])
def test_a_missing_shard_is_named(tmp_path, new):
    """Gone or with another name, with the nearest that is there."""
    index = sharded(tmp_path)
    old = tmp_path / "model-00002-of-00002.safetensors"
    old.rename(tmp_path / new) if new else old.unlink()
    reason = rf"{index.name} names the shard {old.name}, which is not in its folder; the nearest name there is model-"
    with pytest.raises(FileNotFoundError, match=reason):
        read_checkpoint(index)


@pytest.mark.parametrize("place", ["../weights.bin", "/etc/passwd", "..\\weights.bin", "C:\\weights.bin", "a/../../b"])
def test_a_shard_outside_the_folder_is_refused(tmp_path, place):
    """An index from anywhere must not open other files."""
    with pytest.raises(ValueError, match=r"its shard .* leads out of the folder of the index"):
        read_checkpoint(sharded(tmp_path, layers_1_weight=place))


@pytest.mark.parametrize("place", [None, 3, "", ["model.bin"]])
def test_a_shard_is_named_by_a_text(tmp_path, place):
    """The tensor and what stands there are in the message."""
    with pytest.raises(ValueError, match=r"its weight_map has .* for layers.1.weight; shards are named by texts"):
        read_checkpoint(sharded(tmp_path, layers_1_weight=place))


@pytest.mark.parametrize("text", ["{}", "[]", '{"weight_map": {}}', '{"weight_map": ["a"]}', '{"window_size": 8}'])
def test_another_json_is_no_index(tmp_path, text):
    """A configuration is taken for an index by many."""
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config.json cannot be read: it is no index of shards such as"):
        read_checkpoint(tmp_path / "config.json")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_a_damaged_index_is_refused(tmp_path, text):
    """However it is damaged."""
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ValueError, match=r"cannot be read: it is no JSON .*; download or copy it again"):
        read_checkpoint(tmp_path)


def test_a_damaged_shard_is_named(tmp_path):
    """With what is wrong with it."""
    index = sharded(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").write_text("<html>")
    with pytest.raises(
        ValueError, match=r"its shard model-00002-of-00002.safetensors cannot be used: it is a web page"
    ):
        read_checkpoint(index)


def test_a_tensor_that_its_shard_lacks_is_named(tmp_path):
    """Index and shards are then not of one model."""
    with pytest.raises(
        ValueError, match=r"shard model-00001\S+ lacks 1 tensors that the index names, first new.weight"
    ):
        read_checkpoint(sharded(tmp_path, new_weight="model-00001-of-00002.safetensors"))


def test_one_of_several_shards_is_not_all(tmp_path):
    """A part of the weights is not loaded as if it were the whole."""
    sharded(tmp_path)
    with pytest.raises(ValueError, match=r"it is shard 1 of 2; give the folder of the shards, with their index"):
        read_checkpoint(tmp_path / "model-00001-of-00002.safetensors")
    save_file(WEIGHTS, tmp_path / "model-00001-of-00001.safetensors")
    assert equal(read_checkpoint(tmp_path / "model-00001-of-00001.safetensors"))


def test_shards_at_an_address_are_downloaded(tmp_path, monkeypatch):
    """Beside their index; what cannot be read is not kept."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    index = sharded(tmp_path)
    shard = tmp_path / "model-00002-of-00002.safetensors"
    data = shard.read_bytes()
    shard.write_text("<html>busy</html>")
    with pytest.raises(ValueError, match="web page"):
        read_checkpoint(index.as_uri())
    shard.write_bytes(data)
    assert equal(read_checkpoint(index.as_uri()))
