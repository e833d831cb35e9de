"""Weights from the layouts of the ecosystem to the official one, and from that to the others: no files, no models."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from .layouts import LAYOUTS, official_names, rename

WRITABLE = ("official", "timm", "torchvision", "hf", "mmpretrain")
_BUFFER = re.compile(r"(.*\.)?(attn_mask|relative_coords_table|relative_position_index|_extra_state)")
_WEIGHT = re.compile(
    r"(patch_embed|layers\.\d+\.(blocks\.\d+\.(norm1|norm2|enorm|mlp|attn)|downsample)|norm\d*|head)\..*"
)


def to_official(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Weights under official names and in official order of channels, without buffers; other keys stay as they are.

    Args:
        state: weights and buffers.
        source: layout of `state`.
    """
    weights = {key: value for key, value in official_names(state, source) if not _BUFFER.fullmatch(key)}
    result: dict[str, Tensor] = {}
    for key, value in weights.items():
        stem, part = _part(key)
        if part == "qkv.bias":  # that of the keys, in the middle, has no effect
            result[f"{stem}q_bias"], _, result[f"{stem}v_bias"] = value.chunk(3)
        elif part == "query.weight":
            result[f"{stem}qkv.weight"] = torch.cat(
                [weights[f"{stem}{name}.weight"] for name in ("query", "key", "value")]
            )
        elif source == "mmpretrain" and part == "reduction.weight":
            result[key] = value.unflatten(1, (-1, 2, 2)).permute(0, 3, 2, 1).flatten(1)  # C·kh·kw -> kw·kh·C
        elif part not in ("key.weight", "value.weight"):
            result[key] = value
    return {rename(key, [(f"norm{_last_stage(result)}", "norm")]): value for key, value in result.items()}


def from_official(
    state: Mapping[str, Tensor], target: str, pretrained_window_sizes: Sequence[Sequence[int]] | None = None
) -> dict[str, Tensor]:
    """The backbone and classifier in another layout, with the buffers that it needs to be loaded strictly.

    Args:
        state: weights under official names; others are left out, and so is the norm of any but the last stage where the
            layout has no place for it.
        target: one of `WRITABLE`.
        pretrained_window_sizes: window of the training of each stage, in tokens along each axis, for torchvision.

    Raises:
        ValueError: the layout is not known, cannot hold this model, or lacks the windows.
    """
    _check_target(state, target, pretrained_window_sizes)
    layout = LAYOUTS[target]
    names = [*layout.names, ("norm", f"norm{_last_stage(state)}")] if target == "mmpretrain" else layout.names
    result = {}
    for key, value in _laid_out(state, target):
        if has_place(key, target):
            in_head = key.startswith("head.")
            result[rename(key, [("head", layout.head)]) if in_head else layout.prefix + rename(key, names)] = value
    if target == "torchvision":
        result |= _torchvision_buffers(result, pretrained_window_sizes or [])
    return result


def has_place(key: str, target: str) -> bool:
    """Whether a layout has a place for an official key, which `norm0` to `norm2` have not in all of them."""
    return bool(_WEIGHT.fullmatch(key)) and (target in ("official", "mmpretrain") or not re.match(r"norm\d", key))


def training_windows(state: Mapping[str, Tensor], source: str, name: str) -> tuple[list[tuple[int, ...]] | None, str]:
    """Window of the training of each stage, and where it is known from; None if it is not.

    Told by our checkpoints; else by tables of relative coordinates: one of a window W trained at W' reaches
    log2(1 + 8 (W - 1) / (W' - 1)) / 3 (eq. 4), from which W' follows; else by a name such as
    `swinv2_base_window12to16_192to256`, where no window is larger than the stage's map.

    Args:
        state: weights and buffers.
        source: layout of `state`.
        name: path, address or name of the checkpoint.
    """
    buffers = dict(official_names(state, source))
    if "_extra_state" in buffers:
        return [tuple(window) for window in buffers["_extra_state"].tolist()], "the checkpoint"
    stages = range(_last_stage(buffers) + 1)
    tables = [buffers.get(f"layers.{i}.blocks.0.attn.relative_coords_table") for i in stages]
    if all(table is not None for table in tables):
        return [_trained_at(table) for table in tables if table is not None], "the checkpoint"
    if found := re.findall(r"window(\d+)(?:to\d+)?[_-](\d+)", name):
        window, side = map(int, found[-1])
        return [(max(1, min(window, side // 4 // 2**i)),) * 2 for i in stages], "its name"
    return None, "the model, since the checkpoint does not say"


def _trained_at(table: Tensor) -> tuple[int, ...]:
    windows = [(length + 1) // 2 for length in table.shape[1:-1]]
    reach = 2 ** (3 * table.double().flatten(0, -2).amax(0)) - 1  # 8 (W - 1) / (W' - 1) along each axis
    return tuple(1 + round(8 * (w - 1) / r) if w > 1 else 1 for w, r in zip(windows, reach.tolist(), strict=True))


def _part(key: str) -> tuple[str, str]:
    """`layers.0.blocks.0.attn.` and `qkv.weight`, the two halves of a key of an attention or a merging."""
    match = re.match(r"(layers\.\d+\.(?:blocks\.\d+\.attn|downsample)\.)(.*)", key)
    return (match[1], match[2]) if match else ("", key)


def _last_stage(keys: Collection[str]) -> int:
    return max((int(match[1]) for key in keys if (match := re.match(r"layers\.(\d+)\.", key))), default=0)


def _laid_out(state: Mapping[str, Tensor], target: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors split, joined and ordered as another layout has them."""
    for key, value in state.items():
        stem, part = _part(key)
        if target == "torchvision" and part == "q_bias":
            yield f"{stem}qkv.bias", torch.cat([value, torch.zeros_like(value), state[f"{stem}v_bias"]])
        elif target == "hf" and part == "qkv.weight":
            for name, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                yield f"{stem}{name}.weight", rows
        elif target == "mmpretrain" and part == "reduction.weight":
            yield key, value.unflatten(1, (2, 2, -1)).permute(0, 3, 2, 1).flatten(1)  # kw·kh·C -> C·kh·kw
        elif target != "torchvision" or part != "v_bias":
            yield key, value


def _torchvision_buffers(keys: Collection[str], trained: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Tables of the largest window for all stages; each measures offsets in its own window of the training."""
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
