"""Which parameters learn how fast, and which decay."""

from typing import Any

from torch import nn

from swinv2.backbone import SwinTransformerV2

NO_DECAY = ("cpb_mlp", "logit_scale")  # beside everything with one axis: biases, norms, q_bias, v_bias


def parameter_groups(
    model: nn.Module, lr: float, weight_decay: float, layer_decay: float = 1.0, backbone_lr_scale: float = 1.0
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

    Returns:
        Groups with `params`, `lr`, `weight_decay` and a readable `name` such as "lr*0.75 decay", the fastest first.

    Raises:
        ValueError: if nothing is to be trained, or a backbone shall be slowed down where there is none.
    """
    depths = _depths(model)
    if not depths and (layer_decay != 1 or backbone_lr_scale != 1):
        raise ValueError(
            f"layer_decay={layer_decay} and backbone_lr_scale={backbone_lr_scale} need a SwinTransformerV2 in the "
            f"model; {type(model).__name__} has none: leave both at 1."
        )
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = _scale(name, depths, layer_decay, backbone_lr_scale)
            decays = parameter.ndim > 1 and not any(part in name for part in NO_DECAY)
            key = f"lr*{scale:.6g} {'decay' if decays else 'no decay'}"
            group = {"params": [], "lr": lr * scale, "weight_decay": weight_decay if decays else 0.0, "name": key}
            groups.setdefault(key, group)["params"].append(parameter)
    if not groups:
        raise ValueError(f"All parameters of {type(model).__name__} are frozen, none is left to train; freeze fewer.")
    return sorted(groups.values(), key=lambda group: -group["lr"])


def layer_id(name: str, depths: list[int]) -> int:
    """Layer of a backbone's parameter in the convention of SimMIM, from 0 to `sum(depths) + 1`.

    The patch embedding is layer 0, block k of all blocks is layer k + 1, a downsampling belongs to the block before it,
    and the output norms are the last layer.

    Args:
        name: as in the backbone's state dict, e.g. "layers.2.blocks.0.attn.qkv.weight".
        depths: blocks of each stage.
    """
    part, *rest = name.split(".")
    if part == "patch_embed":
        return 0
    if part != "layers":
        return sum(depths) + 1
    stage = int(rest[0])
    return sum(depths[:stage]) + int(rest[2]) + 1 if rest[1] == "blocks" else sum(depths[: stage + 1])


def _depths(model: nn.Module) -> dict[str, list[int]]:
    """Blocks of each stage of each backbone, by the prefix of its parameters."""
    return {
        f"{name}." if name else "": [len(list(stage.get_submodule("blocks").children())) for stage in module.layers]
        for name, module in model.named_modules()
        if isinstance(module, SwinTransformerV2)
    }


def _scale(name: str, depths: dict[str, list[int]], layer_decay: float, backbone_lr_scale: float) -> float:
    for prefix, blocks in depths.items():
        if name.startswith(prefix):
            last = sum(blocks) + 1
            return backbone_lr_scale * layer_decay ** (last - layer_id(name.removeprefix(prefix), blocks))
    return 1.0
