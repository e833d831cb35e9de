"""Checks that weights belong to a model, and adaptation of shapes that differ."""

import logging
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

import torch
import torch.nn.functional as F
from torch import Tensor

logger = logging.getLogger(__name__)

_REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_MADE_OF = (  # endings of names of factors of a weight (adapters, parametrizations), and advice
    (
        r"(lora_|base_layer\.|modules_to_save\.|original_module\.|ia3_l|oft_|hada_|vera_lambda).*",
        "a part of an adapter (LoRA), which is not merged into its weight; save model.merge_and_unload().state_dict().",
    ),
    (
        r"weight_(orig|mask)",
        "a part of a pruned or normed weight; call torch.nn.utils.prune.remove or remove_spectral_norm on each module, "
        "and save the weights then.",
    ),
    (
        r"weight_[gv]|parametrizations\..*",
        "a part of a weight that is computed anew each time; call torch.nn.utils.parametrize.remove_parametrizations "
        "or remove_weight_norm on each module, and save the weights then.",
    ),
)
_SIZES: dict[tuple[int, tuple[int, ...]], str] = {
    (96, (2, 2, 6, 2)): "tiny",
    (96, (2, 2, 18, 2)): "small",
    (128, (2, 2, 18, 2)): "base",
    (192, (2, 2, 18, 2)): "large",
    (352, (2, 2, 18, 2)): "huge",
    (512, (2, 2, 42, 4)): "giant",
}


def check_variant(weights: Mapping[str, Tensor], model: Mapping[str, Tensor], label: str) -> None:
    """Raise unless width, depths, heads and extra norms of checkpoint and backbone are the same.

    Args:
        weights: of the checkpoint, under official names.
        model: weights of the backbone.
        label: name of the checkpoint.

    Raises:
        ValueError: they differ.
    """
    heads = _num_heads(model)
    given, asked = _describe(weights, heads | _num_heads(weights)), _describe(model, heads)
    if given != asked:
        raise ValueError(
            f"{label} is of another model: it has {given}, the model has {asked}; "
            "create the model that it was trained as, or give a checkpoint of this one."
        )
    axes = weights["patch_embed.proj.weight"].ndim - 2
    odd = [key for key, value in weights.items() if key.endswith("cpb_mlp.0.weight") and value.shape[1:] != (axes,)]
    if odd:
        raise ValueError(
            f"{label} is damaged: {odd[0]} is {tuple(weights[odd[0]].shape)}, but its patches have {axes} axes, and so "
            "many offsets are measured; take the whole checkpoint."
        )


def _describe(weights: Mapping[str, Tensor], heads: Mapping[int, int]) -> str:
    """Variant of weights under official names, as text, with the attention heads of each stage."""
    blocks = {match.groups() for key in weights if (match := re.match(r"layers\.(\d+)\.blocks\.(\d+)\.", key))}
    counts = Counter(int(stage) for stage, _ in blocks)
    depths = tuple(counts[stage] for stage in sorted(counts))
    shown = tuple(heads.get(stage, 0) for stage in sorted(counts))
    norms = sum(key.endswith(".enorm.weight") for key in weights)
    dim = sum(weights["patch_embed.proj.weight"].shape[:1])
    text = f"embed_dim {dim}, depths {depths}, num_heads {shown}, {norms} extra norms"
    return f"swinv2_{_SIZES[dim, depths]} ({text})" if (dim, depths) in _SIZES else text


def _num_heads(weights: Mapping[str, Tensor]) -> dict[int, int]:
    """Number of attention heads of each stage, as far as its blocks show it."""
    heads: dict[int, int] = {}
    for key, value in weights.items():
        if match := re.fullmatch(r"layers\.(\d+)\.blocks\.\d+\.attn\.logit_scale", key):
            heads.setdefault(int(match[1]), sum(value.shape[:1]))
    return heads


def check_coverage(inside: Sequence[str], loaded: Collection[str], unexpected: Sequence[str], label: str) -> None:
    """Raise unless a checkpoint fills half of the backbone; warn about missing tensors other than output norms.

    Args:
        inside: tensors of the backbone.
        loaded: tensors of the model that the checkpoint fills.
        unexpected: tensors of the checkpoint without a place in the model.
        label: name of the checkpoint.

    Raises:
        ValueError: less than half of the backbone is loaded.
    """
    missing = [name for name in inside if name not in loaded]
    if 2 * len(missing) <= len(inside):
        if lacking := [name for name in missing if "layers." in name or "patch_embed." in name]:
            logger.warning("%s lacks %d tensors of the backbone: %s", label, len(lacking), ", ".join(lacking[:4]))
        return
    nearest = [f"{key} (nearest: {get_close_matches(key, missing, 1, 0.0)[0]})" for key in unexpected[:3]]
    raise ValueError(
        f"{label} fills only {len(inside) - len(missing)} of the backbone's {len(inside)} tensors; it lacks "
        f"{', '.join(missing[:3])}, … and has, not understood, {', '.join(nearest) or 'nothing else'}. "
        "Give a checkpoint of the whole backbone, named as in one of the known layouts."
    )


def fit(value: Tensor, shape: Sequence[int], name: str, in_backbone: bool) -> tuple[Tensor | None, str]:
    """Tensor of a checkpoint in the shape of the model's, None if it cannot be used, and the change as text.

    Args:
        value: tensor of the checkpoint.
        shape: of the model's tensor.
        name: of the model's tensor.
        in_backbone: whether it belongs to the backbone, where a shape that does not fit is an error.

    Raises:
        ValueError: a tensor of the backbone has another shape.
    """
    if value.shape == tuple(shape):
        return value, ""
    given, asked, extra = tuple(value.shape), tuple(shape), len(shape) - value.ndim
    if not in_backbone:
        return None, f"not loaded, since {given} is not {asked}"
    if name.endswith("patch_embed.proj.weight") and given[2:] == asked[2 + extra :]:
        return _fit_patches(value, asked)
    if name.endswith("cpb_mlp.0.weight") and given[1] < asked[1]:
        return F.pad(value, (asked[1] - given[1], 0)), "offsets in time without effect"
    raise ValueError(
        f"{name} is {given} in the checkpoint and {asked} in the model; build the model as it was trained."
    )


def _fit_patches(weight: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, str]:
    """Weight of the patch embedding (C, in_channels, *patch) for other input channels, and for clips."""
    given, asked, frames = weight.shape[1], shape[1], shape[2 : len(shape) - weight.ndim + 2]
    changes = []
    if asked != given:
        changes.append(f"{given} channels to {asked}")
        repeated = weight[:, torch.arange(asked) % given] * (given / asked)
        weight = weight.sum(1, keepdim=True) if asked == 1 else repeated
    if frames:
        changes.append(f"repeated over {math.prod(frames)} frames")
        weight = weight.unflatten(1, (asked, *(1 for _ in frames))).expand(shape) / math.prod(frames)
    return weight, " and ".join(changes)


def made_of(key: str) -> str:
    """Reason why a tensor is only a factor of a weight, and advice; empty if it is none.

    Args:
        key: name of the tensor.
    """
    found = (f"is {reason}" for pattern, reason in _MADE_OF if re.search(rf"\.{pattern}$", key))
    return next(found, "")


def defect(value: Tensor, dtype: torch.dtype = torch.float64) -> str:
    """Reason why a tensor cannot be a weight of a model, and advice; empty if it can.

    Args:
        value: tensor of the checkpoint.
        dtype: of the model's tensor.
    """
    save = "save the weights as they were trained, model.float().state_dict()."
    if value.is_quantized or value.is_nested or value.layout != torch.strided:
        return (
            f"is {'quantised' if value.is_quantized else 'not stored in full'} ({value.dtype}, {value.layout}); {save}"
        )
    if value.is_meta or not value.numel():
        return "has no values; join the pieces first if it was saved in such, e.g. by DeepSpeed's zero_to_fp32.py."
    if not dtype.is_floating_point:
        return f"is of {value.dtype} where {dtype} is needed; {save}" if value.dtype not in _WHOLE else ""
    if value.dtype not in _REAL:
        return f"is of {value.dtype}, not of floating-point numbers; {save}"
    least, greatest = (float(bound) for bound in value.aminmax())
    if not -torch.finfo(dtype).max <= least <= greatest <= torch.finfo(dtype).max:
        wrong = int((~value.to(dtype).isfinite()).sum())
        return f"has {wrong} of {value.numel()} values that are not finite; take a checkpoint from before that."
    return ""
