"""How the projects of the ecosystem name the weights of SwinV2, and how to tell them apart.

Official names are `patch_embed.proj.weight`, `layers.0.blocks.0.attn.q_bias`, `layers.0.downsample.norm.weight`,
`norm.weight` and `head.weight`; a norm for each output (`norm0`, …) and the extra norm of huge and giant (`enorm`) are
named as in the authors' dense code. A model may lie at any depth of a checkpoint: what precedes its patch embedding is
its prefix.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

Names = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Layout:
    """How a project names the weights.

    Attributes:
        names: official and own name of modules, the more special first; `{i}` is the stage, `{j}` the block.
        prefix: what precedes the names of the backbone.
        head: name of the classifier's linear layer, which lies beside the backbone.
        beside: own name and the project's of modules in other heads beside the backbone.
    """

    names: Names = ()
    prefix: str = ""
    head: str = "head"
    beside: Names = ()


def _block(own: str, *parts: tuple[str, str]) -> Names:
    block = "layers.{i}.blocks.{j}"
    return (*((f"{block}.{a}", f"{own}.{b}") for a, b in parts), (block, own))


_TORCHVISION = (
    ("patch_embed.proj", "features.0.0"),
    ("patch_embed.norm", "features.0.2"),
    *_block("features.{2i+1}.{j}", ("mlp.fc1", "mlp.0"), ("mlp.fc2", "mlp.3")),
    ("layers.{i}.downsample", "features.{2i+2}"),
)
_HF = (
    ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
    ("patch_embed.norm", "embeddings.norm"),
    *_block(
        "encoder.layers.{i}.blocks.{j}",
        ("norm1", "layernorm_before"),
        ("norm2", "layernorm_after"),
        ("mlp.fc1", "intermediate.dense"),
        ("mlp.fc2", "output.dense"),
        ("attn.proj", "attention.output.dense"),
        ("attn.cpb_mlp", "attention.self.continuous_position_bias_mlp"),
        ("attn.q_bias", "attention.self.query.bias"),
        ("attn.v_bias", "attention.self.value.bias"),
        ("attn", "attention.self"),
    ),
    ("layers.{i}.downsample", "encoder.layers.{i}.downsample"),
    ("norm", "layernorm"),
)
_HF_HEADS = (  # of UPerNet; ours has mmsegmentation's names
    *((f"{head}.conv_seg", f"{head}.classifier") for head in ("decode_head", "auxiliary_head")),
    *(
        (f"{conv}.bn", f"{conv}.batch_norm")
        for conv in (
            *("decode_head.psp_modules.{i}.1", "decode_head.bottleneck", "decode_head.lateral_convs.{i}"),
            *("decode_head.fpn_convs.{i}", "decode_head.fpn_bottleneck", "auxiliary_head.convs.{i}"),
        )
    ),
)
_MMPRETRAIN = (
    ("patch_embed.proj", "patch_embed.projection"),
    *_block(
        "stages.{i}.blocks.{j}",
        ("mlp.fc1", "ffn.layers.0.0"),
        ("mlp.fc2", "ffn.layers.1"),
        ("attn", "attn.w_msa"),
        ("enorm", "norm3"),
    ),
    ("layers.{i}.downsample", "stages.{i+1}.downsample"),
)
_SIMMIM = _block("layers.{i}.blocks.{j}", ("attn.cpb_mlp", "attn.rpe_mlp"))
LAYOUTS = {
    "ours": Layout(),
    "official": Layout(),
    "timm": Layout((("layers.{i}.downsample", "layers.{i+1}.downsample"),), head="head.fc"),
    "torchvision": Layout(_TORCHVISION),
    "hf": Layout(_HF, prefix="swinv2.", head="classifier", beside=_HF_HEADS),
    "mmpretrain": Layout(_MMPRETRAIN, prefix="backbone.", head="head.fc"),
    "simmim": Layout(_SIMMIM, prefix="encoder."),
}


def detect_format(keys: Collection[str]) -> str:
    """Which of `LAYOUTS` the keys of a checkpoint follow.

    Raises:
        ValueError: there are no SwinV2 weights among them.
    """
    text = "\n".join(keys)
    candidates = ("hf", "mmpretrain", "torchvision", "official")
    found = next((name for name in candidates if _prefix(keys, name) is not None), None)
    if found is None or not re.search("cpb_mlp|rpe_mlp|continuous_position_bias_mlp", text):
        v1 = "they have tables of position biases, thus are Swin V1's; use a file of Swin V2"
        other = f"known are the layouts {', '.join(LAYOUTS)}; rename the keys to one of them"
        reason = v1 if "relative_position_bias_table" in text else other
        raise ValueError(f"no SwinV2 weights among {len(keys)} keys ({', '.join(sorted(keys)[:4])}, …): {reason}.")
    prefix = _prefix(keys, found)
    if found != "official":
        return found
    if f"{prefix}_extra_state" in keys:
        return "ours"
    if "rpe_mlp" in text or f"{prefix}mask_token" in keys:
        return "simmim"
    merging = [f"{prefix}layers.{i}.downsample.reduction.weight" in keys for i in (0, 1)]
    return "timm" if merging == [False, True] or f"{prefix}head.fc.weight" in keys else "official"


def official_names(state: Mapping[str, Tensor], source: str) -> Iterator[tuple[str, Tensor]]:
    """Keys of the backbone and of the classifier beside it under official names."""
    layout = LAYOUTS[source]
    prefix = _prefix(state, source) or ""
    beside = re.sub(r"[^.]+\.$", "", prefix)  # "model.backbone." lies in "model."
    heads = {f"{beside}{layout.head}.{kind}": f"head.{kind}" for kind in ("weight", "bias")}
    names, beside_names = ([(own, ours) for ours, own in pairs] for pairs in (layout.names, layout.beside))
    for key, value in state.items():
        inside = key.startswith(prefix)
        inner = rename(key.removeprefix(prefix), names) if inside else rename(key, beside_names)
        yield heads.get(key, inner), value


def _prefix(keys: Collection[str], layout: str) -> str | None:
    """What precedes the patch embedding, None if there is none."""
    embedding = rename("patch_embed.proj", LAYOUTS[layout].names) + ".weight"
    return next((key.removesuffix(embedding) for key in keys if f".{key}".endswith(f".{embedding}")), None)


_PLACE = re.compile(r"\{(\d*)([ij])\+?(\d*)\}")  # {2i+1}: factor, name and summand


def rename(key: str, names: Names) -> str:
    """The key with its module renamed after the first pair that fits."""
    return next((new for pair in names if (new := _moved(key, *pair)) is not None), key)


def _moved(key: str, old: str, new: str) -> str | None:
    """`features.3.0.norm1` from `features.{2i+1}.{j}` to `layers.{i}.blocks.{j}` is `layers.1.blocks.0.norm1`."""
    match = re.match(_PLACE.sub(r"(\\d+)", old.replace(".", r"\.")) + r"(?=\.|$)", key)
    if match is None:
        return None
    numbers = {}
    for (factor, name, summand), digits in zip(_PLACE.findall(old), match.groups(), strict=True):
        numbers[name], rest = divmod(int(digits) - int(summand or 0), int(factor or 1))
        if rest or numbers[name] < 0:
            return None
    return (
        _PLACE.sub(lambda place: str(int(place[1] or 1) * numbers[place[2]] + int(place[3] or 0)), new)
        + key[match.end() :]
    )
