"""Image classifier: the backbone's last features, averaged, and one linear layer; the named ones of the release."""

from collections.abc import Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor, nn

from .arguments import Window
from .backbone import SwinTransformerV2, initialise
from .variants import BackboneConfig, Choice, create_backbone, load_named, variant


class ImageClassifier(nn.Module):
    """Classes of images, or of clips, from the mean of the backbone's last features.

    Args:
        backbone: gives the features; only those of its last output are used. Of one that is described, the weights fill
            the classifier too, where it has as many classes.
        num_classes: number of classes, 0 for none: the output is then the pooled feature; a recipe may leave it out.

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


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    weights: str | None = None,
    window_size: Window | None = None,
    in_channels: int = 3,
    drop_path_rate: float = 0.0,
    checkpointing: bool | Sequence[bool] = False,
    engine: Choice = "auto",
) -> ImageClassifier:
    """A named model that classifies images.

    Args:
        name: one of `list_models()`.
        num_classes: number of classes, if not that of the release; the head of weights with another number is not used.
        weights: `imagenet1k` or `imagenet22k` for published weights, or the path, URL or hub id of a checkpoint.
        window_size: window in tokens, if not that of the name; one number, one per axis, or one entry per stage.
        in_channels: channels of the input; weights for three channels are adapted.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0 at the first.
        checkpointing: whether the backward pass computes blocks again rather than keep what they need; for all
            stages, or one word per stage.
        engine: what computes the blocks: "auto", "plain", "cpu" or "gpu", see `use_engine`.

    Raises:
        ValueError: no such model or weights, or numbers that do not fit each other.
    """
    backbone = create_backbone(
        name,
        window_size=window_size,
        out_indices=(len(variant(name).depths) - 1,),
        in_channels=in_channels,
        drop_path_rate=drop_path_rate,
        checkpointing=checkpointing,
        engine=engine,
    )
    model = ImageClassifier(backbone, variant(name).num_classes if num_classes is None else num_classes)
    load_named(model, name, weights)
    return model
