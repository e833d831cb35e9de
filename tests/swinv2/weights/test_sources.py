import re
import unicodedata
from io import BytesIO

import pytest
import torch
from safetensors.torch import save

from swinv2.weights.files import read_checkpoint
from swinv2.weights.sources import locate

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


@pytest.mark.parametrize("name", ["~nobody_of_this_name/best.pth", "a\0b.pth", "x" * 200])
def test_what_is_no_file_does_not_exist(tmp_path, name):
    """Homes of nobody and impossible names."""
    with pytest.raises(FileNotFoundError, match="does not exist; give a file"):
        read_checkpoint(name)


def test_names_of_other_systems_are_found(tmp_path, monkeypatch):
    """Backslashes, and accents in the other form of Unicode."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "modèles").mkdir()
    torch.save(WEIGHTS, tmp_path / "modèles/é.pth")
    assert read_checkpoint("modèles\\é.pth").keys() == WEIGHTS.keys()
    assert read_checkpoint(unicodedata.normalize("NFD", "modèles/é.pth")).keys() == WEIGHTS.keys()


def saved(content, suffix=".pth"):
    """The bytes of a file of tensors."""
    buffer = BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue() if suffix == ".pth" else save(content)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_an_address_is_downloaded_once(web, suffix):
    """A file at an address is kept, and read from there the next time."""
    address = web.serve(f"/weights{suffix}", saved(WEIGHTS, suffix))
    for _ in range(2):
        assert read_checkpoint(address)["weight"].tolist() == [1, 1]
    assert len(web.requests) == 1


def test_addresses_of_one_file_name_are_kept_apart(web):
    """Many repositories call their file model.safetensors."""
    addresses = [web.serve(f"/{i}/model.safetensors", save({"weight": torch.tensor([i])})) for i in range(2)]
    assert [read_checkpoint(address)["weight"].item() for address in addresses] == [0, 1]


def test_names_of_any_length_are_kept(web):
    """The file in the cache has a shorter one."""
    address = web.serve(f"/{'a' * 999}.pth", saved(WEIGHTS))
    assert read_checkpoint(address).keys() == WEIGHTS.keys()


def test_altered_downloads_are_found(web, tmp_path):
    """At the next use, by name."""
    address = web.serve("/a.safetensors", save(WEIGHTS))
    read_checkpoint(address)
    (file,) = (tmp_path / "cache").rglob("*.safetensors")
    file.write_bytes(save({"weight": torch.zeros(2)}))
    with pytest.raises(ValueError, match=rf"{file.name} is not as it was downloaded"):
        read_checkpoint(address)


def test_names_with_another_digest_are_refused(web, tmp_path):
    """Torchvision names its files by the first digits of their SHA-256."""
    with pytest.raises(ConnectionError, match="its SHA-256 should begin with 0a0a0a0a"):
        read_checkpoint(web.serve("/swin_v2_t-0a0a0a0a.pth", saved(WEIGHTS)))
    assert not [*(tmp_path / "cache").rglob("*.pth")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html>busy</html>", "it is a web page"),
        (b"<html>" + b"busy " * 999, "it is a web page"),
        (bytes(9999), "it begins with 512 zeros"),
        (b"", "the file is empty"),
        (saved(WEIGHTS)[:-9], "truncated"),
    ],
    ids=["page", "long page", "zeros", "empty", "cut"],
)
def test_a_broken_download_is_not_kept(web, data, reason):
    """A page in place of a file is refused, and the next try downloads anew."""
    address = web.serve("/weights.pth", data)
    with pytest.raises(ValueError, match=rf"{address} cannot be read: .*{reason}"):
        read_checkpoint(address)
    web.serve("/weights.pth", saved(WEIGHTS))
    assert read_checkpoint(address).keys() == WEIGHTS.keys()


def test_an_address_out_of_reach_is_explained(tmp_path, monkeypatch):
    """The error says where to put the file by hand, and there it is read."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    with pytest.raises(
        ConnectionError, match=r"gone.pth cannot be downloaded .* copy the file to .*-gone.pth"
    ) as caught:
        read_checkpoint("http://127.0.0.1:1/gone.pth")
    torch.save(WEIGHTS, str(caught.value).split("copy the file to ")[1].rstrip("."))
    assert read_checkpoint("http://127.0.0.1:1/gone.pth").keys() == WEIGHTS.keys()


def test_shards_at_an_address_are_downloaded(web):
    """They lie beside their index."""
    address = web.serve("/m/model.safetensors.index.json", b'{"weight_map": {"weight": "a b.safetensors"}}')
    web.serve("/m/a%20b.safetensors", save(WEIGHTS))
    assert read_checkpoint(address).keys() == WEIGHTS.keys()


def test_file_addresses_are_paths(tmp_path):
    """Files of this machine are read where they are, so that a new version is seen."""
    file = tmp_path / "my weights.pth"
    for value in (1.0, 2.0):
        torch.save({"weight": torch.tensor([value])}, file)
        assert read_checkpoint(file.as_uri())["weight"].item() == value
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"my%20weights.pth does not exist"):
        read_checkpoint(file.as_uri())


@pytest.mark.parametrize("name", ["hf-hub:timm/tiny", "hf-hub:timm/tiny/pytorch_model.bin", "hf-hub:timm/tiny/"])
def test_the_hub_is_read(hub, name):
    """A repository of the Hugging Face hub, or a file in it, holds weights."""
    hub.serve_file("timm/tiny", "pytorch_model.bin", saved(WEIGHTS))
    assert read_checkpoint(name).keys() == WEIGHTS.keys()


def test_what_the_hub_lacks_is_explained(hub):
    """The error says how to name a file of the hub."""
    hub.serve_file("timm/tiny", "pytorch_model.bin", saved(WEIGHTS))
    with pytest.raises(
        FileNotFoundError, match=r"tiny/swin.pth has no swin.pth; name the file: hf-hub:owner/name/file"
    ):
        read_checkpoint("hf-hub:timm/tiny/swin.pth")


def test_shards_on_the_hub_are_downloaded(hub):
    """The index first, then what it names; a shard that is not there is named."""
    index = b'{"weight_map": {"weight": "a.bin"}}'
    for name in ("me/large", "me/lacking"):
        hub.serve_file(name, "pytorch_model.bin.index.json", index)
    hub.serve_file("me/large", "a.bin", saved(WEIGHTS))
    assert read_checkpoint("hf-hub:me/large").keys() == WEIGHTS.keys()
    with pytest.raises(
        FileNotFoundError, match=r"me/lacking/pytorch_model.bin.index.json names the shard a.bin, which is not"
    ):
        read_checkpoint("hf-hub:me/lacking")


def test_the_configuration_beside_a_file_is_noted(tmp_path):
    """It may tell the windows of the training."""
    torch.save(WEIGHTS, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"window_size": 8, "image_size": 128}')
    assert {"window8", "128"} <= set(re.split("_|img", locate(str(tmp_path)).notes))
