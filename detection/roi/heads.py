"""Heads on the pooled features of a box: class and offsets (arXiv:1504.08083), mask (arXiv:1703.06870, fig. 4)."""

from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

GROUPS = 32  # groups of a group norm
NUM_CONVS = 4  # convolutions of 4conv1fc


class BoxHead(nn.Module):
    """Two fully connected layers on the pooled features.

    Args:
        in_channels: channels of the pyramid.
        dim: width of both layers.
        pool_size: bins per side to which boxes are pooled.
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


class ConvBoxHead(nn.Module):
    """Four convolutions and a fully connected layer on the pooled features: "4conv1fc" (arXiv:1803.08494, sec. 4.2).

    Args:
        in_channels: channels of the pyramid.
        dim: width of the fully connected layer.
        norm: norm after each convolution: "batch" (over the boxes of a batch, of all devices with
            `trainer.sync_batchnorm`), "group" (32 groups), or None.
        pool_size: bins per side to which boxes are pooled.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int = 1024,
        norm: Literal["batch", "group"] | None = None,
        pool_size: int = 7,
    ):
        super().__init__()
        self.pool_size = pool_size
        self.dim = dim
        layers: list[nn.Module] = []
        for _ in range(NUM_CONVS):
            conv = nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=norm is None)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            layers += [conv, *normalisation(norm, in_channels), nn.ReLU()]
        self.convs = nn.Sequential(*layers)
        self.fc = nn.Linear(in_channels * pool_size**2, dim)
        nn.init.kaiming_uniform_(self.fc.weight, a=1)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "n c s s"]) -> Float[Tensor, "n dim"]:
        """Pooled features to one vector per box."""
        return F.relu(self.fc(self.convs(x).flatten(1)))


def normalisation(norm: Literal["batch", "group"] | None, channels: int) -> list[nn.Module]:
    """Norm layer by name, as a list; empty for None.

    Raises:
        ValueError: the channels are no multiple of 32 groups.
    """
    if norm == "group":
        if channels % GROUPS:
            raise ValueError(
                f"box_head_norm: group needs a multiple of {GROUPS} channels, got {channels}; change fpn_channels or "
                "take batch."
            )
        return [nn.GroupNorm(GROUPS, channels)]
    return [nn.BatchNorm2d(channels)] if norm == "batch" else []


class BoxPredictor(nn.Module):
    """Class logits, background last, and offsets from the box to the object, per class or shared by all.

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


class MaskHead(nn.Module):
    """Convolutions, upsampling by two, and one mask per class, of which only that of the box's class is computed.

    Args:
        in_channels: channels of the pyramid.
        num_classes: number of classes without background.
        dim: channels of all layers.
        num_convs: number of 3 x 3 convolutions before the upsampling.
        pool_size: bins per side to which boxes are pooled; masks have twice as many.
        takes_flow: whether the mask features of the stage before are added to the input (arXiv:1901.07518, sec. 3.1).
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        dim: int = 256,
        num_convs: int = 4,
        pool_size: int = 14,
        takes_flow: bool = False,
    ):
        super().__init__()
        self.pool_size = pool_size
        self.flow = nn.Sequential(nn.Conv2d(dim, in_channels, 1), nn.ReLU()) if takes_flow else None
        convs = [nn.Conv2d(dim if i else in_channels, dim, 3, padding=1) for i in range(num_convs)]
        self.convs = nn.Sequential(*(layer for conv in convs for layer in (conv, nn.ReLU())))
        self.deconv = nn.ConvTranspose2d(dim if convs else in_channels, dim, 2, stride=2)
        self.predictor = nn.Conv2d(dim, num_classes, 1)
        for parameter in self.parameters():
            if parameter.ndim == 1:
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.predictor.weight, std=0.001)
        if self.flow is not None:  # at first it passes almost nothing
            nn.init.normal_(cast(nn.Conv2d, self.flow[0]).weight, std=0.001)

    def features(
        self, x: Float[Tensor, "n c s s"], previous: Float[Tensor, "n dim s s"] | None = None
    ) -> Float[Tensor, "n dim s s"]:
        """Pooled features, plus the mask features of the stage before if the head takes them, to mask features."""
        if self.flow is not None and previous is not None:
            x = x + self.flow(previous)
        return self.convs(x)

    def predict(self, features: Float[Tensor, "n dim s s"], labels: Int[Tensor, "n"]) -> Float[Tensor, "n t t"]:
        """Mask features to the mask logits of each box's class, in float32, at twice the resolution."""
        x = F.relu(self.deconv(features.contiguous(memory_format=torch.channels_last))).flatten(2)  # (n, dim, t·t)
        weight, bias = self.predictor.weight.flatten(1)[labels], cast(Tensor, self.predictor.bias)[labels]
        logits = weight.unsqueeze(1) @ x + bias[:, None, None]  # (n, 1, t·t)
        return logits.float().view(-1, 2 * features.shape[2], 2 * features.shape[3])

    def forward(self, x: Float[Tensor, "n c s s"], labels: Int[Tensor, "n"]) -> Float[Tensor, "n t t"]:
        """Pooled features to the mask logits of each box's class."""
        return self.predict(self.features(x), labels)
