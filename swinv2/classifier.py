"""Image classifier: a linear layer on the average of the backbone's last features; the named models of the release."""

from dataclasses import replace
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from .backbone import SwinTransformerV2, initialise
from .variants import BackboneConfig, load_named, variant


class ImageClassifier(nn.Module):
    """Classifier of images or clips: a linear layer on the mean of the backbone's last features.

    Args:
        backbone: a backbone or its configuration; only its last output is used. Weights in a configuration fill the
            classifier, too, if they have as many classes.
        num_classes: number of classes; 0 for the pooled features as output; a recipe may leave it out.

    Raises:
        ValueError: the number of classes is missing or negative.
    """

    def __init__(self, backbone: BackboneConfig | SwinTransformerV2, num_classes: int | None = None):
        super().__init__()
        if num_classes is None or num_classes < 0:
            raise ValueError(f"num_classes must be 0 (for features) or more, got {num_classes}.")
        if isinstance(backbone, SwinTransformerV2):
            self.backbone = backbone
        else:
            self.backbone = replace(backbone.of_last_stage(), weights=None).build()
        self.num_classes = num_classes
        self.head = nn.Linear(self.backbone.channels[-1], num_classes) if num_classes else nn.Identity()
        self.head.apply(initialise)
        if isinstance(backbone, BackboneConfig):
            load_named(self, backbone.name, backbone.weights)

    def forward(self, x: Float[Tensor, "b channels *size"]) -> Float[Tensor, "b classes"]:
        """Logits of each image."""
        return self.head(self.backbone(x)[-1].flatten(2).mean(-1))


def create_model(name: str, *, num_classes: int | None = None, **options: Any) -> ImageClassifier:
    """Named image classifier.

    Args:
        name: one of `list_models()`.
        num_classes: number of classes, if not that of the release; a head of weights with another number is not used.
        options: other attributes of `BackboneConfig`, e.g. `weights`, `window_size`, `drop_path_rate`.

    Raises:
        ValueError: no such model or weights, or numbers that do not fit each other.
        TypeError: an unknown option.
    """
    classes = variant(name).num_classes if num_classes is None else num_classes
    return ImageClassifier(BackboneConfig(name, **options), classes)
