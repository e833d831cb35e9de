"""Weights in several files with an index of their tensors (transformers, accelerate, diffusers)."""

import json
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..files.paths import Finder
from ..files.regular import read_small
from .tensor_files import read_file

_MOST_BYTES = 1 << 26  # of an index
_EXAMPLE = '{"weight_map": {"norm.bias": "model-00001-of-00002.safetensors"}}'


def read_shards(index: Path, find: Callable[[str], Path]) -> dict[Any, Any]:
    """Tensors of all shards.

    Args:
        index: file of the index.
        find: gives the file of a shard by its name in the index.

    Raises:
        FileNotFoundError: a shard is missing.
        ValueError: the index is invalid, or a shard lies outside its folder, cannot be read or lacks a tensor; the
            message is the reason alone.
    """
    places = read_index(index)
    content: dict[Any, Any] = {}
    for name in dict.fromkeys(places.values()):
        try:
            shard = read_file(find(name))
        except ValueError as error:
            raise ValueError(f"its shard {name} cannot be used: {error}") from None
        if lacking := [key for key, place in places.items() if place == name and key not in shard]:
            raise ValueError(
                f"its shard {name} lacks {len(lacking)} tensors that the index names, first {lacking[0]}; take index "
                "and shards of one model, all anew."
            )
        content |= {key: value for key, value in shard.items() if places.get(key, name) == name}
    return content


def read_index(path: Path) -> dict[str, str]:
    """Shard of each tensor, by the names of tensor and file.

    Args:
        path: file of the index.

    Raises:
        ValueError: it is no index, or a shard lies outside its folder; the message is the reason alone.
    """
    try:
        content = json.loads(read_small(path, _MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON ({error}); download or copy it again.") from None
    places = content.get("weight_map") if isinstance(content, Mapping) else None
    if not isinstance(places, dict) or not places:
        raise ValueError(f"it is no index of shards such as {_EXAMPLE}; give the file of the weights, or its index.")
    for key, name in places.items():
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"its weight_map has {name!r} for {key}; shards are named by texts as in {_EXAMPLE}.")
        if re.match(r"[\\/]|[A-Za-z]:", name) or ".." in re.split(r"[\\/]", name):
            raise ValueError(f"its shard {name!r} leads out of the folder of the index; shards lie beside it.")
    return places


def shards_beside(index: Path) -> Callable[[str], Path]:
    """Function that finds shards in the folder of their index; it raises FileNotFoundError if one is missing.

    Args:
        index: file of the index.
    """
    finder = Finder(index.parent)

    def find(name: str) -> Path:
        found = finder.find(name)
        if found is None or not found.is_file():
            near = get_close_matches(name, [path.name for path in index.parent.iterdir() if path != index], 1)
            there = f"; the nearest name there is {near[0]}" if near else ""
            raise FileNotFoundError(
                f"{index} names the shard {name}, which is not in its folder{there}. Copy the shard there, or name it "
                "as the index does."
            )
        return found

    return find


def check_whole(path: Path) -> None:
    """Raise if a file is one shard of several, by its name.

    Args:
        path: file of weights.

    Raises:
        ValueError: it is; the message is the reason alone.
    """
    found = re.search(r"-(\d+)-of-(\d+)\.\w+$", path.name)
    if found and int(found[2]) > 1:
        raise ValueError(
            f"it is shard {int(found[1])} of {int(found[2])}; give the folder of the shards, with their index, or the "
            "index file itself, e.g. model.safetensors.index.json."
        )
