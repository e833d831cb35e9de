"""The networks that look at one box: class and refined box (arXiv:1504.08083), mask (arXiv:1703.06870, fig. 4)."""

from collections import OrderedDict

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class BoxHead(nn.Module):
    """Two fully connected layers on the pooled features.

    Args:
        in_channels: channels of the pyramid.
        dim: width of both layers.
        pool_size: bins per side that the head wants a box pooled to.
    """

    def __init__(self, in_channels: int, dim: int = 1024, pool_size: int = 7):
        super().__init__()
        self.pool_size = pool_size
        self.dim = dim
        self.fc1 = nn.Linear(in_channels * pool_size**2, dim)
        self.fc2 = nn.Linear(dim, dim)
        for layer in (self.fc1, self.fc2):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Float[Tensor, "n c s s"]) -> Float[Tensor, "n dim"]:
        """Pooled features to one vector per box."""
        return F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))


class BoxPredictor(nn.Module):
    """Class scores, background last, and offsets from the box to the object, for each class or one for all.

    Args:
        dim: width of the box head.
        num_classes: number of classes without background.
        class_agnostic: whether all classes share one box, as in cascades.
    """

    def __init__(self, dim: int, num_classes: int, class_agnostic: bool = False):
        super().__init__()
        self.num_classes = num_classes
        self.cls_score = nn.Linear(dim, num_classes + 1)
        self.bbox_pred = nn.Linear(dim, 4 if class_agnostic else 4 * num_classes)
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.normal_(self.bbox_pred.weight, std=0.001)
        nn.init.zeros_(self.cls_score.bias)
        nn.init.zeros_(self.bbox_pred.bias)

    def forward(self, x: Float[Tensor, "n dim"]) -> tuple[Float[Tensor, "n k_and_1"], Float[Tensor, "n k 4"]]:
        """Class logits and box offsets in float32; a shared box is repeated for every class."""
        offsets = self.bbox_pred(x).float().unflatten(1, (-1, 4))  # (n, 1 or k, 4)
        return self.cls_score(x).float(), offsets.expand(-1, self.num_classes, -1)


class MaskHead(nn.Sequential):
    """Convolutions, upsampling by two, and one mask per class.

    Args:
        in_channels: channels of the pyramid.
        num_classes: number of classes without background.
        dim: channels of all layers.
        num_convs: number of 3 x 3 convolutions before the upsampling.
        pool_size: bins per side that the head wants a box pooled to; masks have twice as many.
    """

    def __init__(self, in_channels: int, num_classes: int, dim: int = 256, num_convs: int = 4, pool_size: int = 14):
        convs = [nn.Conv2d(dim if i else in_channels, dim, 3, padding=1) for i in range(num_convs)]
        deconv = nn.ConvTranspose2d(dim if convs else in_channels, dim, 2, stride=2)
        predictor = nn.Conv2d(dim, num_classes, 1)
        super().__init__(
            OrderedDict(
                convs=nn.Sequential(*(layer for conv in convs for layer in (conv, nn.ReLU()))),
                deconv=deconv,
                relu=nn.ReLU(),
                predictor=predictor,
            )
        )
        self.pool_size = pool_size
        for parameter in self.parameters():
            if parameter.ndim == 1:
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(predictor.weight, std=0.001)

    def forward(self, x: Float[Tensor, "n c s s"]) -> Float[Tensor, "n k t t"]:
        """Pooled features to mask logits in float32, twice as fine."""
        return super().forward(x).float()
