"""Location of a checkpoint by path, address or name on the Hugging Face hub, downloaded if necessary."""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import url2pathname

import torch

from ..downloads.digests import check_recorded, digest_in
from ..downloads.download import download
from ..downloads.hub import HUB, from_hub
from ..files.kinds import describe, kind_of
from ..files.paths import Finder, safe_part
from ..files.regular import SPECIAL, is_special, read_small
from .pretrained_windows import configuration
from .shards import shards_beside

ADDRESSES = ("http://", "https://")
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
_WHOLE = ("model.safetensors", "pytorch_model.bin")
_IN_DIRECTORY = (*_WHOLE, *(f"{name}.index.json" for name in _WHOLE))
_DEEPSPEED = "mp_rank_{:02}_model_states.pt"
_MOST_BYTES = 1 << 12  # of DeepSpeed's file `latest`
_DISTRIBUTED = ".metadata"  # file in a distributed checkpoint of torch


@dataclass
class Located:
    """Local file of a checkpoint.

    Attributes:
        path: the file.
        find: gives the file of a shard by its name; raises FileNotFoundError.
        downloads: files to delete if they cannot be read, so that a new try downloads them again.
        notes: model and window by a config.json beside the file, see `configuration`.
    """

    path: Path
    find: Callable[[str], Path]
    downloads: list[Path] = field(default_factory=list)
    notes: str = ""


def locate(source: str) -> Located:
    """File of a checkpoint, downloaded if it is not local.

    Args:
        source: path, address or name on the hub.

    Raises:
        FileNotFoundError: there is no such file.
        ConnectionError: it cannot be downloaded.
        ValueError: the download is no checkpoint, or was changed since.
    """
    if source.startswith(HUB):
        return _on_hub(source.removeprefix(HUB))
    if source.lower().startswith(ADDRESSES):
        return _at_address(source)
    name = url2pathname(urlsplit(source).path) if source.startswith("file://") else source
    path = Path(os.path.expanduser(name))
    found = path if os.path.exists(path) else Finder(Path()).find(name)
    if found is not None and is_special(found):
        raise ValueError(f"checkpoint {source} {SPECIAL}.")
    if found is not None and found.is_dir():
        found = _in_directory(found)
    if found is None or not found.is_file():
        raise FileNotFoundError(f"checkpoint {source} does not exist; {_allowed()}.")
    return Located(found, shards_beside(found), notes=configuration(found.parent / "config.json"))


def _allowed() -> str:
    return (
        f"give a file ({', '.join(SUFFIXES)}), an address (https://…), {HUB}owner/name, or a directory with one of "
        "those files"
    )


def _in_directory(folder: Path) -> Path:
    """File of the weights in a folder saved by a training or a library."""
    latest = folder / "latest"  # DeepSpeed's file with the folder of its last checkpoint
    inner = folder / read_small(latest, _MOST_BYTES).decode(errors="replace").strip() if latest.is_file() else folder
    if (inner / _DEEPSPEED.format(1)).is_file():
        raise FileNotFoundError(
            f"{folder} has pieces of one model from several devices ({_DEEPSPEED.format(1)}); join them as DeepSpeed "
            "says, and give that file."
        )
    names = [folder / name for name in _IN_DIRECTORY] + [inner / _DEEPSPEED.format(0)]
    if found := next((path for path in names if path.is_file()), None):
        return found
    if (folder / _DISTRIBUTED).is_file():
        raise FileNotFoundError(
            f"{folder} is a distributed checkpoint of torch; make one file of it: "
            "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER weights.pth"
        )
    there = sorted((not path.name.endswith(SUFFIXES), path.name) for path in folder.iterdir())
    listed = f" In it are {', '.join(name for _, name in there[:6])}." if there else ""
    raise FileNotFoundError(f"checkpoint {folder} has no {' or '.join(_WHOLE)}; {_allowed()}.{listed}")


def _at_address(address: str) -> Located:
    downloads: list[Path] = []

    def find(name: str) -> Path:
        downloads[:] = [*downloads[:1], _download(urljoin(address, quote(name)))]
        return downloads[-1]

    downloads.append(_download(address))
    return Located(downloads[0], find, downloads)


def _download(address: str) -> Path:
    known = hashlib.sha256(address.encode(errors="surrogatepass")).hexdigest()[:8]  # many are model.safetensors
    name = Path(re.split(r"[?#]", address)[0]).name
    path = Path(torch.hub.get_dir(), "checkpoints", safe_part(f"{known}-{name}"))
    if not path.exists():
        download(address, path, digest_in(name), partial(_check_start, address))
    check_recorded(path)
    return path


def _check_start(address: str, path: Path) -> None:
    """Raise unless the first bytes of a download may be those of a checkpoint, or of an index of its shards.

    Raises:
        ValueError: it is neither.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if kind_of(path) == "other" and start != b"PK\x03\x04" and start.lstrip()[:1] != b"{":
        raise ValueError(f"{address} cannot be read: {describe(path)}")


def _on_hub(name: str) -> Located:
    owner, repository, rest = f"{name.rstrip('/')}//".split("/", 2)
    file = rest.strip("/")
    wanted = [file] if file else _IN_DIRECTORY
    for filename in wanted:
        if path := from_hub(f"{owner}/{repository}", filename):
            return Located(path, partial(_shard, f"{owner}/{repository}", filename))
    listed = file or " or ".join(_WHOLE)
    raise FileNotFoundError(f"{HUB}{name} has no {listed}; name the file: {HUB}owner/name/file.")


def _shard(repository: str, index: str, shard: str) -> Path:
    path = from_hub(repository, urljoin(index, shard))
    if path is None:
        raise FileNotFoundError(
            f"{HUB}{repository}/{index} names the shard {shard}, which is not there; name another file."
        )
    return path
