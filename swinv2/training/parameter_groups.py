"""Parameter groups: learning rate and weight decay of each parameter."""

from typing import Any, Literal

from torch import nn

from swinv2.backbone import SwinTransformerV2

NO_DECAY = ("cpb_mlp", "logit_scale", "mask_token")  # besides everything with one axis: biases, norms, q_bias, v_bias

Merging = Literal["shared", "own"]


def parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    layer_decay: float = 1.0,
    backbone_lr_scale: float = 1.0,
    layer_decay_merging: Merging = "shared",
) -> list[dict[str, Any]]:
    """Parameter groups for AdamW, merged where learning rate and weight decay agree; frozen parameters are left out.

    Within a SwinV2 backbone the learning rate shrinks by `layer_decay` per layer from the output to the input; see
    `layer_id`. Everything outside of the backbone (necks, heads) learns at `lr`. Biases, norms, logit scales and the
    network of the position bias do not decay, as in the official release.

    Args:
        model: any module, with or without backbones inside.
        lr: learning rate outside of the backbone, and of its output norms.
        weight_decay: of AdamW, 0 or more.
        layer_decay: factor per layer, above 0, at most 1, which switches it off.
        backbone_lr_scale: factor of all learning rates of the backbone, e.g. 0.1.
        layer_decay_merging: whether a patch merging is in the layer of the block before it ("shared", as in SimMIM) or
            a layer of its own ("own", as in MIM-Depth); both are public code of the authors.

    Returns:
        Groups with `params`, `lr`, `weight_decay` and a readable `name` such as "lr*0.75 decay", the fastest first.

    Raises:
        ValueError: all parameters are frozen, or settings of the backbone are given for a model without one.
    """
    layers = _layers(model, layer_decay_merging)
    if not layers and (layer_decay != 1 or backbone_lr_scale != 1):
        raise ValueError(
            f"layer_decay={layer_decay} and backbone_lr_scale={backbone_lr_scale} need a SwinTransformerV2 in the "
            f"model; {type(model).__name__} has none: leave both at 1."
        )
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = _scale(name, layers, layer_decay, backbone_lr_scale)
            decays = parameter.ndim > 1 and not any(part in name for part in NO_DECAY)
            key = f"lr*{scale:.6g} {'decay' if decays else 'no decay'}"
            group = {"params": [], "lr": lr * scale, "weight_decay": weight_decay if decays else 0.0, "name": key}
            groups.setdefault(key, group)["params"].append(parameter)
    if not groups:
        raise ValueError(f"All parameters of {type(model).__name__} are frozen, none is left to train; freeze fewer.")
    return sorted(groups.values(), key=lambda group: -group["lr"])


def layer_id(name: str, depths: list[int]) -> int:
    """Layer of a backbone's parameter, from 0 to `sum(depths) + 1`.

    The patch embedding is layer 0; the blocks of all stages follow, each a layer. The patch merging at the end of a
    stage is in the stage's last layer. The output norms are the last layer.

    Args:
        name: as in the backbone's state dict, e.g. "layers.2.blocks.0.attn.qkv.weight".
        depths: layers of each stage: its blocks, and one more where the patch merging is a layer of its own.
    """
    part, *rest = name.split(".")
    if part == "patch_embed":
        return 0
    if part != "layers":
        return sum(depths) + 1
    stage = int(rest[0])
    return sum(depths[:stage]) + int(rest[2]) + 1 if rest[1] == "blocks" else sum(depths[: stage + 1])


def _layers(model: nn.Module, merging: Merging) -> dict[str, list[int]]:
    """Layers of each stage of each backbone, by the prefix of its parameters."""
    return {
        f"{name}." if name else "": [
            len(stage.blocks) + (merging == "own" and stage.downsample is not None) for stage in module.stages
        ]
        for name, module in model.named_modules()
        if isinstance(module, SwinTransformerV2)
    }


def _scale(name: str, layers: dict[str, list[int]], layer_decay: float, backbone_lr_scale: float) -> float:
    for prefix, of_stages in layers.items():
        if name.startswith(prefix):
            last = sum(of_stages) + 1
            return backbone_lr_scale * layer_decay ** (last - layer_id(name.removeprefix(prefix), of_stages))
    return 1.0
