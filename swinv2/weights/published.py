"""Addresses of the weights that the authors published (microsoft/Swin-Transformer, MODELHUB.md), by model name."""

_RELEASE = "https://github.com/SwinTransformer/storage/releases/download/v2.0.0/swinv2_"
_BASE = f"{_RELEASE}base_patch4_window12_192_22k.pth"
_LARGE = f"{_RELEASE}large_patch4_window12_192_22k.pth"
PRETRAINED = {
    "swinv2_tiny_window8_256": {"imagenet1k": f"{_RELEASE}tiny_patch4_window8_256.pth"},
    "swinv2_tiny_window16_256": {"imagenet1k": f"{_RELEASE}tiny_patch4_window16_256.pth"},
    "swinv2_small_window8_256": {"imagenet1k": f"{_RELEASE}small_patch4_window8_256.pth"},
    "swinv2_small_window16_256": {"imagenet1k": f"{_RELEASE}small_patch4_window16_256.pth"},
    "swinv2_base_window8_256": {"imagenet1k": f"{_RELEASE}base_patch4_window8_256.pth"},
    "swinv2_base_window16_256": {"imagenet1k": f"{_RELEASE}base_patch4_window16_256.pth"},
    "swinv2_base_window12_192": {"imagenet22k": _BASE},
    "swinv2_large_window12_192": {"imagenet22k": _LARGE},
    "swinv2_base_window12to16_192to256": {
        "imagenet1k": f"{_RELEASE}base_patch4_window12to16_192to256_22kto1k_ft.pth",
        "imagenet22k": _BASE,
    },
    "swinv2_base_window12to24_192to384": {
        "imagenet1k": f"{_RELEASE}base_patch4_window12to24_192to384_22kto1k_ft.pth",
        "imagenet22k": _BASE,
    },
    "swinv2_large_window12to16_192to256": {
        "imagenet1k": f"{_RELEASE}large_patch4_window12to16_192to256_22kto1k_ft.pth",
        "imagenet22k": _LARGE,
    },
    "swinv2_large_window12to24_192to384": {
        "imagenet1k": f"{_RELEASE}large_patch4_window12to24_192to384_22kto1k_ft.pth",
        "imagenet22k": _LARGE,
    },
}

TAGS = ("imagenet1k", "imagenet22k")  # data that the weights were trained on last


def weights_url(name: str, tag: str) -> str:
    """Address of the authors' weights.

    Args:
        name: of the model.
        tag: "imagenet1k" or "imagenet22k", the data that the weights were trained on last.

    Raises:
        ValueError: none are published for the model, or not under this tag.
    """
    tags = PRETRAINED.get(name, {})
    if tag not in tags:
        others = ", ".join(other for other, published in PRETRAINED.items() if tag in published)
        raise ValueError(
            f"no {tag} weights are published for {name}, which has {', '.join(tags) or 'none'}; "
            f"{f'{tag} weights exist for {others}' if others else f'the tags are {TAGS[0]} and {TAGS[1]}'}."
        )
    return tags[tag]
