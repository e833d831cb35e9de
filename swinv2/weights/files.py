"""Reading and writing of checkpoints of any container, whatever wrappers their names have."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files.kinds import kind_of
from ..files.whole import write_torch
from .containers import find_weights
from .pretrained_windows import architecture
from .safetensors_files import write_safetensors
from .shards import check_whole, read_shards
from .sources import SUFFIXES, Located, locate
from .tensor_files import read_file


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint.

    Attributes:
        label: name in messages.
        tensors: weights and buffers of one model.
        names: source, notes beside it and architecture in it, from which the model may be recognized.
    """

    label: str
    tensors: dict[str, Tensor]
    names: str


def read_checkpoint(source: str | Path | Mapping[Any, Any]) -> dict[str, Tensor]:
    """Tensors of a checkpoint, on the CPU, without `module.`, `_orig_mod.` and other wrappers in their names.

    No code in a file is ever run: it is read with `weights_only=True`, and objects of the program that wrote it (a
    configuration, NumPy numbers) are skipped. The format is recognized by content, not by suffix. Of several models,
    e.g. averaged and raw weights, the averaged one is taken, and the log says so.

    Args:
        source: a file of safetensors or torch; an index of shards (model.safetensors.index.json); a directory with
            model.safetensors or pytorch_model.bin or the index of one, or a checkpoint of DeepSpeed; an address (http,
            https), whose file is kept in the cache of torch.hub; a `file:` address, read in place;
            `hf-hub:owner/name` or `hf-hub:owner/name/file` on the Hugging Face hub; or a state dict, on its own or
            within a checkpoint.

    Raises:
        FileNotFoundError: there is no such file.
        ConnectionError: the address cannot be reached.
        ValueError: the file is truncated or no checkpoint, or holds no tensors.
    """
    return open_checkpoint(source).tensors


def open_checkpoint(source: str | Path | Mapping[Any, Any]) -> Checkpoint:
    """Checkpoint with its tensors, see `read_checkpoint`, and hints on the model.

    Args:
        source: as for `read_checkpoint`.

    Raises:
        FileNotFoundError: there is no such file.
        ConnectionError: the address cannot be reached.
        ValueError: the file is truncated or no checkpoint, or holds no tensors.
    """
    if not isinstance(source, str | Path | Mapping) or not str(source).strip():
        given = "an empty text" if isinstance(source, str) else f"a {type(source).__name__}"
        raise ValueError(f"weights are a path, an address or a state dict, got {given}; give e.g. model.state_dict().")
    if isinstance(source, Mapping):
        label, content, notes = "the state dict", source, ""
    else:
        located = locate(label := str(source))
        content, notes = _read(label, located), located.notes
    tensors, place = find_weights(content, label)
    if not tensors:
        raise ValueError(
            f"{label} holds {', '.join(map(str, list(content)[:6])) or 'nothing'} and no tensors; "
            "save the weights as torch.save({'model': model.state_dict()}, path)."
        )
    return Checkpoint(
        f"{label} (at {place})" if place else label, tensors, "/".join((label, notes, architecture(content)))
    )


@contextmanager
def errors_of(label: str) -> Iterator[None]:
    """Prefix the messages of ValueErrors within a `with` statement by the name of a checkpoint."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None


def write_checkpoint(
    state: Mapping[str, Tensor], path: str | Path, container: str | None = None, **more: object
) -> None:
    """Write tensors as safetensors or with torch, by the suffix of the path.

    Args:
        state: the tensors.
        path: file to write, with one of `SUFFIXES`; its directory is made.
        container: key of the tensors in a file of torch.
        more: further entries of a file of torch.

    Raises:
        ValueError: the suffix is another.
        OSError: the file cannot be written; no part of it is left.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"weights are written to files ending in {', '.join(SUFFIXES)}, got {path.name}.")
    # copies, since the tensors may be memory-mapped from the file to be written
    tensors = {key: value.clone(memory_format=torch.contiguous_format) for key, value in state.items()}
    if path.suffix == ".safetensors":
        write_safetensors(path, tensors)
    else:
        write_torch(path, {container: tensors, **more} if container else tensors)


def _read(source: str, located: Located) -> Mapping[Any, Any]:
    try:
        if located.path.suffix == ".json" and kind_of(located.path) == "other":
            return read_shards(located.path, located.find)
        check_whole(located.path)
        return read_file(located.path)
    except ValueError as error:
        for path in located.downloads[-1:]:
            path.unlink(missing_ok=True)  # so that a new try downloads it again
            path.with_name(f"{path.name}.sha256").unlink(missing_ok=True)  # or takes a file that is put there by hand
        raise ValueError(f"{source} cannot be read: {error}") from None
