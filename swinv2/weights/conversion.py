"""Conversion of state dicts from the layouts of other projects to the official one, and back."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .layouts import LAYOUTS, last_stage, rename
from .matching import defect, made_of
from .parts import Parts, split

WRITABLE = ("official", "timm", "torchvision", "hf", "mmpretrain")
_BUFFER = re.compile(r"(.*\.)?(attn_mask|k_bias|relative_coords_table|relative_position_index|_extra_state)")
_EACH = ("weight", "bias")
_STEM = tuple(f"patch_embed.{part}.{kind}" for part in ("proj", "norm") for kind in _EACH)
_BLOCK = (
    *(f"{part}.{kind}" for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2", "attn.proj") for kind in _EACH),
    *(f"attn.{part}" for part in ("qkv.weight", "q_bias", "v_bias", "logit_scale")),
    *(f"attn.cpb_mlp.{part}" for part in ("0.weight", "0.bias", "2.weight")),
)
_MERGING = tuple(f"downsample.{part}" for part in ("reduction.weight", "norm.weight", "norm.bias"))
_STEMS, _BLOCKS, _MERGINGS = ("|".join(map(re.escape, names)) for names in (_STEM, _BLOCK, _MERGING))
_WEIGHT = re.compile(
    rf"{_STEMS}|(norm\d*|head)\.(weight|bias)|"
    rf"layers\.\d+\.({_MERGINGS}|blocks\.\d+\.({_BLOCKS}|enorm\.(weight|bias)))"
)
_IN_BACKBONE = re.compile(r"(patch_embed|layers\.\d+\.(blocks\.\d+|downsample)|norm\d*)\..*")


def to_official(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Weights under official names and in official order of channels, without buffers; unknown keys are kept.

    Args:
        state: weights and buffers.
        source: layout of `state`.

    Raises:
        ValueError: a tensor of the backbone cannot be used, or two have one name.
    """
    return official_parts(state, source).all


def official_parts(state: Mapping[str, Tensor], source: str) -> Parts:
    """Weights as by `to_official`, with backbone and classifier apart from the rest.

    Args:
        state: weights and buffers.
        source: layout of `state`.

    Raises:
        ValueError: a tensor of the backbone cannot be used, or two have one name.
    """
    parts = split(state, source)
    weights = {key: value for key, value in parts.inside.items() if not _BUFFER.fullmatch(key)}
    for key, value in weights.items():
        if _IN_BACKBONE.fullmatch(key) and (reason := made_of(key) or defect(value)):
            raise ValueError(f"{key} {reason}")
    last = [(f"norm{last_stage(weights)}", "norm")]
    result: dict[str, Tensor] = {}
    for key, value in _joined(weights, source):
        if result.setdefault(name := rename(key, last), value) is not value:
            raise ValueError(f"two tensors are {name} of the backbone, one of them as {key}; leave one of them out.")
    beside = {key: value for key, value in parts.beside.items() if not _BUFFER.fullmatch(key)}
    return replace(parts, inside=result, beside=beside)


def _joined(weights: Mapping[str, Tensor], source: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors in official form: queries, keys and values joined, biases split, columns of mergings reordered."""
    for key, value in weights.items():
        stem, part = _part(key)
        parts = [weights[name] for one in ("query", "key", "value") if (name := f"{stem}{one}.weight") in weights]
        whole = len({tuple(one.shape) for one in parts}) == 1 and len(parts) == 3
        if part == "qkv.bias":  # the bias of the keys, in the middle, has no effect
            yield f"{stem}q_bias", _thirds(value, key)[0]
            yield f"{stem}v_bias", _thirds(value, key)[2]
        elif part == "query.weight" and whole:
            yield f"{stem}qkv.weight", torch.cat(parts)
        elif source == "mmpretrain" and part == "reduction.weight":
            yield key, _reordered(value, (-1, 2, 2), key)  # C·kh·kw -> kw·kh·C
        elif part not in ("key.weight", "value.weight") or not whole:
            yield key, value


def _thirds(value: Tensor, key: str) -> tuple[Tensor, ...]:
    """Rows of queries, keys and values.

    Raises:
        ValueError: the number of rows is no multiple of three.
    """
    if not value.ndim or not len(value) or len(value) % 3:
        raise ValueError(
            f"{key} is {tuple(value.shape)}, which is not queries, keys and values; take the whole weights."
        )
    return value.chunk(3)


def _reordered(value: Tensor, columns: tuple[int, int, int], key: str) -> Tensor:
    """Weight of a patch merging with the axes of its columns (channels and two of pixels) in reverse order.

    Raises:
        ValueError: the number of columns is no multiple of four.
    """
    if value.ndim != 2 or value.shape[1] % 4:
        raise ValueError(f"{key} is {tuple(value.shape)}, which does not merge 2 x 2 pixels; take the whole weights.")
    return value.unflatten(1, columns).permute(0, 3, 2, 1).flatten(1)


def from_official(
    state: Mapping[str, Tensor], target: str, pretrained_window_sizes: Sequence[Sequence[int]] | None = None
) -> dict[str, Tensor]:
    """Backbone and classifier in another layout, with the buffers needed to load them strictly.

    Args:
        state: weights under official names; others are left out, and so are output norms that the layout does not
            store.
        target: one of `WRITABLE`.
        pretrained_window_sizes: pretraining window of each stage, in tokens along each axis; torchvision needs it.

    Raises:
        ValueError: the layout is not known or cannot hold this model, tensors are missing, or the windows are.
    """
    _check_target(state, target, pretrained_window_sizes)
    if missing := lacking(state):
        raise ValueError(
            f"these weights lack {len(missing)} tensors of a backbone: {', '.join(missing[:4])}; give them whole."
        )
    layout = LAYOUTS[target]
    names = [*layout.names, ("norm", f"norm{last_stage(state)}")] if target == "mmpretrain" else layout.names
    result = {}
    for key, value in _laid_out({key: value for key, value in state.items() if has_place(key, target)}, target):
        in_head = key.startswith("head.")
        result[rename(key, [("head", layout.head)]) if in_head else layout.prefix + rename(key, names)] = value
    if target == "torchvision":
        result |= _torchvision_buffers(result, pretrained_window_sizes or [])
    return result


def has_place(key: str, target: str) -> bool:
    """Whether a layout stores this official key; some have no `norm0` … `norm2`."""
    return bool(_WEIGHT.fullmatch(key)) and (target in ("official", "mmpretrain") or not re.match(r"norm\d", key))


def _part(key: str) -> tuple[str, str]:
    """Module and parameter of a key of an attention or merging: `layers.0.blocks.0.attn.` and `qkv.weight`."""
    match = re.match(r"(layers\.\d+\.(?:blocks\.\d+\.attn|downsample)\.)(.*)", key)
    return (match[1], match[2]) if match else ("", key)


def _laid_out(state: Mapping[str, Tensor], target: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors split, joined and reordered for another layout."""
    for key, value in state.items():
        stem, part = _part(key)
        if target == "torchvision" and part == "q_bias":
            yield f"{stem}qkv.bias", torch.cat([value, torch.zeros_like(value), state[f"{stem}v_bias"]])
        elif target == "hf" and part == "qkv.weight":
            for name, rows in zip(("query", "key", "value"), _thirds(value, key), strict=True):
                yield f"{stem}{name}.weight", rows
        elif target == "mmpretrain" and part == "reduction.weight":
            yield key, _reordered(value, (2, 2, -1), key)  # kw·kh·C -> C·kh·kw
        elif target != "torchvision" or part != "v_bias":
            yield key, value


def _torchvision_buffers(keys: Collection[str], trained: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Relative-position buffers of all blocks, for the largest window; offsets are scaled by each stage's own one."""
    window = [max(lengths) for lengths in zip(*trained, strict=True)]
    steps = [torch.arange(1 - w, w, dtype=torch.float32) for w in window]
    offsets = torch.stack(torch.meshgrid(*steps, indexing="ij"), -1).unsqueeze(0)  # (1, 2·w1 - 1, 2·w2 - 1, 2)
    tokens = torch.cartesian_prod(*(torch.arange(w) for w in window))  # (N, 2)
    rows, columns = (tokens[:, None] - tokens + torch.tensor(window) - 1).unbind(-1)  # (N, N)
    buffers = {}
    for key in keys:
        if match := re.match(r"features\.(\d+)\.\d+\.attn\.(?=logit_scale)", key):
            unit = torch.tensor([max(w - 1, 1) for w in trained[int(match[1]) // 2]])
            scaled = offsets / unit * 8
            buffers[f"{match[0]}relative_coords_table"] = scaled.sign() * torch.log2(scaled.abs() + 1) / 3
            buffers[f"{match[0]}relative_position_index"] = (rows * (2 * window[1] - 1) + columns).flatten()
    return buffers


def lacking(weights: Collection[str]) -> list[str]:
    """Official names that are missing for a complete backbone of these stages and blocks, without output norms."""
    last, blocks = last_stage(weights), []
    for i in range(last + 1):
        found = {int(match[1]) for key in weights if (match := re.match(rf"layers\.{i}\.blocks\.(\d+)\.", key))}
        blocks += [f"layers.{i}.blocks.{j}.{part}" for j in sorted(found.union(range(len(found)))) for part in _BLOCK]
    names = [*_STEM, *blocks, *(f"layers.{i}.{part}" for i in range(last) for part in _MERGING)]
    return [name for name in names if name not in weights]


def _check_target(state: Mapping[str, Tensor], target: str, windows: Sequence[Sequence[int]] | None) -> None:
    if target not in WRITABLE:
        raise ValueError(f"weights are written as {', '.join(WRITABLE)}, got {target!r}.")
    axes = state["patch_embed.proj.weight"].ndim - 2
    if axes != 2:
        raise ValueError(
            f"other projects have images only, got weights of a model with {axes} axes; keep them in our layout."
        )
    if target in ("timm", "torchvision", "hf") and any(".enorm." in key for key in state):
        raise ValueError(f"{target} lacks the extra norms of huge and giant; write official or mmpretrain instead.")
    if target == "torchvision" and windows is None:
        raise ValueError(
            "torchvision keeps tables of the window, and these weights do not say theirs; give pretrained_window_sizes "
            "or, to convert a file, name it as the release does, e.g. swinv2_tiny_window8_256.pth."
        )
