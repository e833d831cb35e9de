"""Image classifier: the backbone's last features, averaged, and one linear layer."""

from jaxtyping import Float
from torch import Tensor, nn

from ..backbone import SwinTransformerV2, initialise


class ImageClassifier(nn.Module):
    """Classes of images, or of clips, from the mean of the backbone's last features.

    Args:
        backbone: gives the features; only those of its last output are used.
        num_classes: number of classes, 0 for none: the output is then the pooled feature.
    """

    def __init__(self, backbone: SwinTransformerV2, num_classes: int):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.channels[-1], num_classes) if num_classes else nn.Identity()
        self.head.apply(initialise)

    def forward(self, x: Float[Tensor, "b channels *size"]) -> Float[Tensor, "b classes"]:
        """Logits of each image."""
        return self.head(self.backbone(x)[-1].flatten(2).mean(-1))
