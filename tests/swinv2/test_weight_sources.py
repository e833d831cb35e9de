import unicodedata

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors

from swinv2.checkpoints import read_checkpoint
from swinv2.weight_sources import locate

WEIGHTS = {"weight": torch.ones(2)}


def test_folders_of_deepspeed_are_read(tmp_path):
    """The last checkpoint is where its note says, and the model in its first file."""
    (tmp_path / "global_step7").mkdir()
    (tmp_path / "latest").write_text("global_step7\n")
    torch.save({"module": WEIGHTS, "ds_version": "0.16"}, tmp_path / "global_step7/mp_rank_00_model_states.pt")
    assert read_checkpoint(tmp_path).keys() == WEIGHTS.keys()
    torch.save({}, tmp_path / "global_step7/mp_rank_01_model_states.pt")
    with pytest.raises(FileNotFoundError, match="has pieces of one model from several devices"):
        read_checkpoint(tmp_path)


def test_a_distributed_checkpoint_is_explained(tmp_path):
    """It is a folder of parts, which torch joins."""
    (tmp_path / ".metadata").write_bytes(b"x")
    with pytest.raises(
        FileNotFoundError, match=r"distributed checkpoint of torch; make one file of it: python -m torch"
    ):
        read_checkpoint(tmp_path)


def test_weights_of_other_names_in_a_folder_are_listed(tmp_path):
    """Which of them is meant, the user knows."""
    for name in ("best.ckpt", "last.ckpt", "a.txt"):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=r"In it are best.ckpt, last.ckpt, a.txt\.$"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["~nobody_of_this_name/best.pth", "/dev/null", "a\0b.pth", "x" * 200])
def test_what_is_no_file_does_not_exist(tmp_path, name):
    """Homes of nobody, devices and impossible names."""
    with pytest.raises(FileNotFoundError, match="does not exist; give a file"):
        read_checkpoint(name)


def test_names_of_other_systems_are_found(tmp_path, monkeypatch):
    """Backslashes, and accents in the other form of Unicode."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "modèles").mkdir()
    torch.save(WEIGHTS, tmp_path / "modèles/é.pth")
    assert read_checkpoint("modèles\\é.pth").keys() == WEIGHTS.keys()
    assert read_checkpoint(unicodedata.normalize("NFD", "modèles/é.pth")).keys() == WEIGHTS.keys()


def test_shards_on_the_hub_are_downloaded(tmp_path, monkeypatch):
    """The index first, then what it names; a shard that is not there is named."""
    torch.save(WEIGHTS, tmp_path / "a.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text('{"weight_map": {"weight": "a.bin"}}')

    def download(repository, file):
        if not (tmp_path / file).is_file():
            raise errors.EntryNotFoundError("404")
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert read_checkpoint("hf-hub:me/large").keys() == WEIGHTS.keys()
    (tmp_path / "a.bin").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"me/large/pytorch_model.bin.index.json names the shard a.bin, which is not"
    ):
        read_checkpoint("hf-hub:me/large")


def test_the_configuration_beside_a_file_is_noted(tmp_path):
    """It may tell the windows of the training."""
    torch.save(WEIGHTS, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"window_size": 8, "image_size": 128}')
    assert locate(str(tmp_path)).notes == "window8_128"
