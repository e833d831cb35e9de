"""Video classifier: a backbone with a time axis, and one linear layer."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from swinv2 import BackboneConfig
from swinv2.classifier import ImageClassifier
from swinv2.imaging.normalize import check_num_classes, normalize


class VideoClassifier(ImageClassifier):
    """SwinV2 over space and time, as in the paper's Kinetics-400 experiments (section 4.2, appendix A2).

    A patch is 2 frames of 4 × 4 pixels; stages reduce height and width, but not time. Windows have three axes, time,
    height and width in tokens: by default 8 tokens of time (16 frames) and the window of the named image model.

    Args:
        backbone: the feature extractor: model, window, weights (of images, which are inflated, or of clips), …
        num_classes: number of classes; a recipe may leave it to the data or the checkpoint.
        dropout: probability of dropping a channel of the mean feature in training.

    Raises:
        ValueError: the number of classes is missing or not positive.
    """

    def __init__(self, backbone: BackboneConfig, num_classes: int | None = None, dropout: float = 0.5):
        classes = check_num_classes(num_classes)
        super().__init__(backbone.of_last_stage().build(video=True), classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, clips: Shaped[Tensor, "b 3 t h w"]) -> Float[Tensor, "b classes"]:
        """Logits of each clip, in float32.

        Args:
            clips: RGB, uint8 or float from 0 to 1; the last frame of an odd number of frames is repeated.
        """
        missing = -clips.shape[2] % self.backbone.patch_embed.patch_size[0]
        clips = torch.cat([clips, clips[:, :, -1:].expand(-1, -1, missing, -1, -1)], 2)
        frames = normalize(clips.transpose(1, 2), next(self.parameters()).dtype)  # (b, t, 3, h, w)
        feature = self.backbone(frames.transpose(1, 2))[-1].flatten(2).mean(-1)  # (b, c)
        return self.head(self.dropout(feature)).float()
