"""Semantic branch of Hybrid Task Cascade: segmentation into things and stuff (arXiv:1901.07518)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

IGNORED = 255  # in semantic maps: no class
LEVEL = 1  # level of the pyramid at whose size the branch works
NUM_CONVS = 4


class SemanticBranch(nn.Module):
    """All pyramid levels, resized and added, to class logits and features for the RoI heads (fig. 3).

    Args:
        channels: channels of the pyramid.
        levels: number of levels of the pyramid.
        num_classes: number of classes of the semantic maps, from 0; 255 in a map is ignored.
        loss_weight: factor of the loss.

    Raises:
        ValueError: a number of classes below 1 or above 255, the limit of a map of bytes.
    """

    def __init__(self, channels: int, levels: int, num_classes: int, loss_weight: float = 0.2):
        super().__init__()
        if not 0 < num_classes <= IGNORED:
            raise ValueError(
                f"semantic_classes is a number from 1 to {IGNORED}, or 0 for no semantic branch, got {num_classes}."
            )
        self.num_classes = num_classes
        self.loss_weight = loss_weight
        self.lateral = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(levels))
        convs = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(NUM_CONVS)]
        self.convs = nn.Sequential(*(layer for conv in convs for layer in (conv, nn.ReLU())))
        self.embedding = nn.Conv2d(channels, channels, 1)
        self.predictor = nn.Conv2d(channels, num_classes, 1)
        for parameter in self.parameters():
            if parameter.ndim == 1:
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.embedding.weight, std=0.001)  # at first it hardly changes the RoI heads' input
        nn.init.normal_(self.predictor.weight, std=0.01)

    def forward(
        self, maps: Sequence[Float[Tensor, "b c _ _"]]
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b classes h w"]]:
        """Features for the RoI heads, and class logits in float32, both at the size of one level."""
        size = maps[LEVEL].shape[2:]
        x = sum(
            F.interpolate(F.relu(lateral(x)), size, mode="bilinear")
            for lateral, x in zip(self.lateral, maps, strict=True)
        )
        x = self.convs(x)  # (b, c, h, w)
        return F.relu(self.embedding(x)), self.predictor(x).float()

    def loss(
        self, logits: Float[Tensor, "b classes h w"], targets: Sequence[Shaped[Tensor, "_ _"]]
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy over the positions that are not ignored; targets are sampled at the logits' centres."""
        wanted = torch.stack([shrink(target, logits.shape[2:]) for target in targets])  # (b, h, w)
        total = F.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="sum")
        return self.loss_weight * total / (wanted != IGNORED).sum().clamp(min=1)


def shrink(target: Shaped[Tensor, "_ _"], size: Sequence[int]) -> Int[Tensor, "_ _"]:
    """Nearest-neighbour reduction of a class map to (height, width), sampled at the centre of each cell."""
    rows, columns = (
        ((torch.arange(new, device=target.device) + 0.5) * old / new).long()
        for new, old in zip(size, target.shape, strict=True)
    )
    return target.index_select(0, rows).index_select(1, columns).long()
