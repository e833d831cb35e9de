"""Tensors from and to files: at a path, at an address or on the Hugging Face hub."""

import hashlib
import logging
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

HUB = "hf-hub:"
ADDRESSES = ("http://", "https://", "file://")
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
_IN_DIRECTORY = ("model.safetensors", "pytorch_model.bin")
_CONTAINERS = ("model_ema", "state_dict_ema", "state_dict", "model", "module")  # averaged weights are the ones scored


def read_checkpoint(source: str | Path | Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint, on the CPU, without `module.` and `_orig_mod.` in their names.

    Nothing that a file brings along is ever run: it is read with `weights_only=True`, and objects of the program that
    wrote it (a configuration, NumPy numbers) are skipped. Where there are averaged weights too, those are taken.

    Args:
        source: a file (.safetensors, .pth, .pt, .bin, .ckpt); a directory holding model.safetensors or
            pytorch_model.bin; an address (http, https, file), whose file is kept in the cache of torch.hub;
            `hf-hub:owner/name` or `hf-hub:owner/name/file` on the Hugging Face hub; or a state dict, on its own or
            within a checkpoint.

    Raises:
        FileNotFoundError: there is no such file.
        ConnectionError: the address cannot be reached.
        ValueError: the file is truncated or no checkpoint, or holds no tensors.
    """
    content = source if isinstance(source, Mapping) else _read(str(source))
    state = _unwrapped(content)
    if not state:
        given = "the state dict" if isinstance(source, Mapping) else source
        raise ValueError(
            f"{given} holds {', '.join(map(str, list(content)[:6])) or 'nothing'} and no tensors; "
            "save the weights as torch.save({'model': model.state_dict()}, path)."
        )
    return {key.replace("_orig_mod.", "").removeprefix("module."): value.detach() for key, value in state.items()}


def write_checkpoint(state: Mapping[str, Tensor], path: str | Path, container: str | None = None) -> None:
    """Write tensors as safetensors or with torch, by the suffix of the path.

    Args:
        state: the tensors.
        path: file to write, ending in one of `SUFFIXES`; its directory is made.
        container: key under which a file of torch holds the tensors.

    Raises:
        ValueError: another suffix.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"weights are written to files ending in {', '.join(SUFFIXES)}, got {path.name}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.clone(memory_format=torch.contiguous_format) for key, value in state.items()}
    unfinished = path.with_name(f".{path.name}.part")  # the tensors may lie in the very file that is written
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(tensors, unfinished, metadata={"format": "pt"})
    else:
        torch.save({container: tensors} if container else tensors, unfinished)
    unfinished.replace(path)


def _unwrapped(content: Mapping[str, Any]) -> dict[str, Tensor]:
    for name in _CONTAINERS:
        if isinstance(content.get(name), Mapping) and (state := _unwrapped(content[name])):
            return state
    return {key: value for key, value in content.items() if isinstance(value, Tensor)}


def _read(source: str) -> Mapping[str, Any]:
    path = _local(source)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        zipped = zipfile.is_zipfile(path)  # what torch has written since 1.6
        with torch.serialization.safe_globals(_placeholders(path) if zipped else []):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        return content if isinstance(content, Mapping) else {type(content).__name__: content}
    except (ImportError, MemoryError, PermissionError):
        raise
    except Exception as error:
        reason = _diagnosis(path, error)
        if source.startswith(ADDRESSES):
            path.unlink()  # a new try downloads anew
        raise ValueError(f"{source} cannot be read: {reason}") from error


def _placeholders(path: Path) -> list[Any]:
    """Classes that keep nothing, in place of those that a checkpoint names and torch does not trust."""
    names = [name.rpartition(".") for name in torch.serialization.get_unsafe_globals_in_checkpoint(path)]
    return [type(n, (_NumPy if m.startswith("numpy") else _Object,), {"__module__": m}) for m, _, n in names]


class _Object:
    def __new__(cls, *args: object) -> OrderedDict:  # type: ignore[misc]
        return OrderedDict()  # the only type that torch fills with items as well as with attributes


class _NumPy:
    def __init__(self, *args: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _diagnosis(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        head = file.read(256).lstrip().lower()
    if not head:
        return "the file is empty; download or copy it again."
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page, not weights; use the link of the file itself, and log in if it asks for that."
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of git-lfs, not weights; run `git lfs pull` first."
    if "weights only" in str(error).lower() and zipfile.is_zipfile(path):
        return (
            "it holds Python objects that cannot be skipped; where they are known, save the tensors alone: "
            "torch.save({'model': checkpoint['model']}, path)."
        )
    said = (str(error) or type(error).__name__).splitlines()[0]
    return f"it is truncated or no checkpoint ({path.stat().st_size:,} bytes; {said}); download or copy it again."


def _local(source: str) -> Path:
    if source.startswith(HUB):
        return _from_hub(source.removeprefix(HUB))
    if source.startswith(ADDRESSES):
        return _download(source)
    path = Path(source).expanduser()
    if path.is_dir():
        path = next((path / name for name in _IN_DIRECTORY if (path / name).is_file()), path)
    if not path.is_file():
        problem = f"has no {' or '.join(_IN_DIRECTORY)}" if path.is_dir() else "does not exist"
        allowed = f"a file ({', '.join(SUFFIXES)}), an address (https://…), {HUB}owner/name"
        raise FileNotFoundError(
            f"checkpoint {source} {problem}; give {allowed}, or a directory with one of those files."
        )
    return path


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


def _from_hub(name: str) -> Path:
    from huggingface_hub import errors, hf_hub_download

    owner, repository, *file = f"{name}/".split("/", 2)
    wanted = [file[0].rstrip("/")] if file and file[0] else _IN_DIRECTORY
    for filename in wanted:
        try:
            return Path(hf_hub_download(f"{owner}/{repository}", filename))
        except errors.LocalEntryNotFoundError as error:
            raise ConnectionError(f"{HUB}{name} cannot be downloaded; check the network, or give a file.") from error
        except errors.EntryNotFoundError:
            continue
        except (errors.HfHubHTTPError, errors.HFValidationError) as error:
            raise FileNotFoundError(f"{HUB}{name} is not on the hub ({error}); write {HUB}owner/name.") from error
    raise FileNotFoundError(f"{HUB}{name} has no {' or '.join(wanted)}; name the file: {HUB}owner/name/file.")
