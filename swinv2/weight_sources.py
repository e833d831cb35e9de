"""Where a checkpoint lies: at a path, at an address or on the Hugging Face hub, and what else lies beside it."""

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote, urljoin, urlparse

import torch

from .places import Finder
from .trained_windows import configuration
from .weight_shards import shards_beside

logger = logging.getLogger(__name__)

HUB = "hf-hub:"
ADDRESSES = ("http://", "https://", "file://")
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
_WHOLE = ("model.safetensors", "pytorch_model.bin")
_IN_DIRECTORY = (*_WHOLE, *(f"{name}.index.json" for name in _WHOLE))
_DEEPSPEED = "mp_rank_{:02}_model_states.pt"
_DISTRIBUTED = ".metadata"  # of a distributed checkpoint of torch


@dataclass
class Located:
    """A file on this machine.

    Attributes:
        path: the file.
        find: gives the file of a shard by its name; raises FileNotFoundError.
        downloads: files that are to be deleted if they cannot be read, so that a new try downloads them anew.
        notes: what is noted beside the file of its model, see `configuration`.
    """

    path: Path
    find: Callable[[str], Path]
    downloads: list[Path] = field(default_factory=list)
    notes: str = ""


def locate(source: str) -> Located:
    """The file of a checkpoint, downloaded if it is not here.

    Args:
        source: path, address or name on the hub.

    Raises:
        FileNotFoundError: there is no such file.
        ConnectionError: it cannot be downloaded.
    """
    if source.startswith(HUB):
        return _on_hub(source.removeprefix(HUB))
    if source.startswith(ADDRESSES):
        return _at_address(source)
    path = Path(os.path.expanduser(source))
    found = path if path.exists() else Finder(Path()).find(source)
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
    """The file of the weights in a folder that a training or a library has saved."""
    latest = folder / "latest"  # where DeepSpeed notes the folder of its last checkpoint
    inner = folder / latest.read_text(errors="replace").strip() if latest.is_file() else folder
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
    known = hashlib.sha256(address.encode()).hexdigest()[:8]  # many addresses end in model.safetensors
    path = Path(torch.hub.get_dir(), "checkpoints", f"{known}-{Path(urlparse(address).path).name}")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        logger.info("downloading %s to %s", address, path)
        try:
            torch.hub.download_url_to_file(address, str(path))
        except (URLError, OSError) as error:
            raise ConnectionError(
                f"{address} cannot be downloaded ({error}); check address and network, or copy the file to {path}."
            ) from error
    return path


def _on_hub(name: str) -> Located:
    owner, repository, *file = f"{name}/".split("/", 2)
    wanted = [file[0].rstrip("/")] if file and file[0] else _IN_DIRECTORY
    for filename in wanted:
        if path := _from_hub(f"{owner}/{repository}", filename, name):
            return Located(path, partial(_shard, f"{owner}/{repository}", filename, name))
    listed = " or ".join(wanted if file and file[0] else _WHOLE)
    raise FileNotFoundError(f"{HUB}{name} has no {listed}; name the file: {HUB}owner/name/file.")


def _shard(repository: str, index: str, name: str, shard: str) -> Path:
    path = _from_hub(repository, urljoin(index, shard), name)
    if path is None:
        raise FileNotFoundError(f"{HUB}{name}/{index} names the shard {shard}, which is not there; name another file.")
    return path


def _from_hub(repository: str, filename: str, name: str) -> Path | None:
    """A file of a repository, None if it has no such file."""
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(repository, filename))
    except errors.LocalEntryNotFoundError as error:
        raise ConnectionError(f"{HUB}{name} cannot be downloaded; check the network, or give a file.") from error
    except errors.EntryNotFoundError:
        return None
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        raise FileNotFoundError(f"{HUB}{name} is not on the hub ({error}); write {HUB}owner/name.") from error
