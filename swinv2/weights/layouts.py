"""Names of SwinV2's weights in timm, torchvision and other projects, and detection of a checkpoint's project.

`to_official` of `conversion.py` renames a checkpoint by `LAYOUTS`.

Official names are `patch_embed.proj.weight`, `layers.0.blocks.0.attn.q_bias`, `layers.0.downsample.norm.weight`,
`norm.weight` and `head.weight`; a norm for each output (`norm0`, …) and the extra norm of huge and giant (`enorm`) are
named as in the authors' dense code. A model may lie at any depth of a checkpoint; its prefix is the part of the names
before `patch_embed`.
"""

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

Names = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Layout:
    """Names of the weights in a project.

    Attributes:
        names: official and project's name of modules, the most specific first; `{i}` is the stage, `{j}` the block.
        prefix: of the names of the backbone.
        head: name of the classifier's linear layer, which lies beside the backbone.
        beside: this package's and the project's name of modules in other heads beside the backbone.
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
_HFCLASSIFIERS = (  # of UPerNet; this package has mmsegmentation's names
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
    "hf": Layout(_HF, prefix="swinv2.", head="classifier", beside=_HFCLASSIFIERS),
    "mmpretrain": Layout(_MMPRETRAIN, prefix="backbone.", head="head.fc"),
    "simmim": Layout(_SIMMIM, prefix="encoder."),
}


_BIAS_NETWORKS = {  # names of the networks for the position bias, which only SwinV2 has, by layout
    "hf": re.compile(r"(|.*?\.)encoder\.layers\.\d+\.blocks\.\d+\.attention\.self\.continuous_position_bias_mlp\."),
    "mmpretrain": re.compile(r"(|.*?\.)stages\.\d+\.blocks\.\d+\.attn\.w_msa\.cpb_mlp\."),
    "torchvision": re.compile(r"(|.*?\.)features\.\d+\.\d+\.attn\.cpb_mlp\."),
    "official": re.compile(r"(|.*?\.)layers[._]\d+\.blocks\.\d+\.attn\.(?:cpb_mlp|rpe_mlp)\."),
}


def detect_format(keys: Collection[str]) -> str:
    """Name of the layout in `LAYOUTS` that the keys of a checkpoint follow.

    Raises:
        ValueError: there are no SwinV2 weights among the keys.
    """
    prefix, found = next(iter(backbone_prefixes(keys).items()), ("", ""))
    if not found or f"{prefix}{_embedding(found)}" not in keys:
        raise ValueError(f"no SwinV2 weights among {len(keys)} keys ({', '.join(sorted(keys)[:4])}, …): {_lack(keys)}.")
    if found != "official":
        return found
    inside = {plain(key.removeprefix(prefix)) for key in keys if key.startswith(prefix)}
    if "_extra_state" in inside:
        return "ours"
    if "mask_token" in inside or any("rpe_mlp" in key for key in inside):
        return "simmim"
    merging = [f"layers.{i}.downsample.reduction.weight" in inside for i in (0, 1)]
    return "timm" if merging == [False, True] or "head.fc.weight" in inside else "official"


def backbone_prefixes(keys: Collection[str]) -> dict[str, str]:
    """Prefix and layout of each SwinV2 backbone among the keys; complete ones first."""
    found = {
        match[1]: kind
        for kind, network in _BIAS_NETWORKS.items()
        for key in keys
        if (match := network.match(key)) is not None
    }
    return dict(sorted(found.items(), key=lambda pair: f"{pair[0]}{_embedding(pair[1])}" not in keys))


def find_prefix(keys: Collection[str], source: str) -> str:
    """Prefix of the names of the backbone in a layout; empty if there is none."""
    kind = source if source in _BIAS_NETWORKS else "official"
    found = [prefix for prefix, names in backbone_prefixes(keys).items() if names == kind]
    embedding = _embedding(kind)
    embedded = (key.removesuffix(embedding) for key in keys if f".{key}".endswith(f".{embedding}"))
    return next(iter([*found, *embedded]), "")


def last_stage(names: Collection[str]) -> int:
    """Number of the last stage among official names, without gaps before it."""
    stages = {int(match[1]) for name in names if (match := re.match(r"layers\.(\d+)\.", name))}
    return next(i for i in itertools.count() if i + 1 not in stages)


def plain(name: str) -> str:
    """Name in timm's classifier of a name in timm's feature extractor, whose stages are `layers_0`, …."""
    return re.sub(r"^layers_(\d+)\.", r"layers.\1.", name)


def _embedding(kind: str) -> str:
    """Key of the patch embedding's weight."""
    return rename("patch_embed.proj", LAYOUTS[kind].names) + ".weight"


def _lack(keys: Collection[str]) -> str:
    """Reason why keys are not those of SwinV2, and advice."""
    if any("relative_position_bias_table" in key for key in keys):
        return "they have tables of position biases, thus are Swin V1's; use a file of Swin V2"
    if any(".lora_" in key for key in keys):
        return "they are an adapter (LoRA) without the model; save model.merge_and_unload().state_dict() of both"
    if backbone_prefixes(keys):
        return "they have networks for the position bias, but no patch embedding; give the file of the whole backbone"
    return f"known are the layouts {', '.join(LAYOUTS)}; rename the keys to one of them"


_PLACE = re.compile(r"\{(\d*)([ij])\+?(\d*)\}")  # {2i+1}: factor, name and summand


def rename(key: str, names: Names) -> str:
    """Key with its module renamed by the first pair that fits."""
    return next((new for pair in names if (new := _moved(key, *pair)) is not None), key)


def _moved(key: str, old: str, new: str) -> str | None:
    """Renamed key; None if it does not fit `old`.

    From `features.{2i+1}.{j}` to `layers.{i}.blocks.{j}`, `features.3.0.norm1` becomes `layers.1.blocks.0.norm1`.
    """
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
