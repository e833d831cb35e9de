"""Equality with timm, torchvision and transformers, with shared weights, wherever they compute the same function."""

import copy
import itertools
from functools import partial

import pytest
import timm.models.swin_transformer_v2
import torch
import transformers
from torch import nn
from torchvision.models import swin_transformer

from swinv2 import SwinTransformerV2, load_weights
from swinv2.classifier import ImageClassifier

DEPTHS, HEADS, DIM, CLASSES = (2, 2, 2, 2), (1, 2, 4, 8), 16, 10
WINDOWS = [
    (4, 64),
    (8, 64),
    (8, 128),
]  # window and side: stages with many windows, with one, and smaller than the window


def from_timm(window, side):
    """A model of timm, and what gives its logits and its feature maps."""
    model = timm.models.swin_transformer_v2.SwinTransformerV2(
        side, window_size=window, embed_dim=DIM, depths=DEPTHS, num_heads=HEADS, num_classes=CLASSES
    )
    return model, model, lambda x: model.forward_intermediates(x, intermediates_only=True)


def from_torchvision(window, side):
    """A model of torchvision, whose window shrinks by axis only in shifting, so that it must fit the grids."""
    model = swin_transformer.SwinTransformer(
        [4, 4],
        DIM,
        list(DEPTHS),
        list(HEADS),
        [window, window],
        num_classes=CLASSES,
        stochastic_depth_prob=0.0,
        block=swin_transformer.SwinTransformerBlockV2,
        downsample_layer=swin_transformer.PatchMergingV2,
    )

    def features(x):
        steps = list(itertools.accumulate(model.features, lambda y, layer: layer(y), initial=x))
        return [
            steps[i].movedim(-1, 1) for i in (2, 4, 6, 8)
        ]  # after the patch embedding, stages and mergings take turns

    return model, model, features


def from_transformers(window, side):
    """A model of transformers."""
    config = transformers.Swinv2Config(
        image_size=side,
        window_size=window,
        embed_dim=DIM,
        depths=list(DEPTHS),
        num_heads=list(HEADS),
        num_labels=CLASSES,
        drop_path_rate=0.0,
        out_indices=[1, 2, 3, 4],
    )
    model = transformers.Swinv2ForImageClassification(config)

    backbone = transformers.Swinv2Backbone(config)
    backbone.embeddings, backbone.encoder = model.swinv2.embeddings, model.swinv2.encoder
    return model, lambda x: model(x).logits, lambda x: backbone(x).feature_maps


PEERS = [
    *(pytest.param(from_timm, *sizes, id=f"timm-{sizes[0]}-{sizes[1]}") for sizes in WINDOWS),
    *(pytest.param(from_transformers, *sizes, id=f"transformers-{sizes[0]}-{sizes[1]}") for sizes in WINDOWS),
    pytest.param(from_torchvision, 4, 128, id="torchvision-4-128"),
    pytest.param(from_torchvision, 2, 64, id="torchvision-2-64"),
]


def pair(make, window, side, dtype):
    """A peer with random weights, how to call it, and our classifier with the same weights."""
    model, logits, features = make(window, side)
    for name, parameter in model.named_parameters():
        if "logit_scale" not in name:
            nn.init.normal_(parameter, 1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.2)
    trained = [min(window, side // 4 // 2**i) for i in range(4)]
    backbone = SwinTransformerV2(
        window_size=window,
        pretrained_window_sizes=trained,
        embed_dim=DIM,
        depths=DEPTHS,
        num_heads=HEADS,
        out_indices=(3,),
    )
    ours = ImageClassifier(backbone, CLASSES)
    load_weights(ours, model.state_dict())
    assert ours.backbone.pretrained_window_sizes == [(w, w) for w in trained]
    model.to(dtype).eval()
    return model, logits, features, ours.to(dtype).eval()


@torch.no_grad()
@pytest.mark.parametrize(("make", "window", "side"), PEERS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["float32", "float64"]
)
def test_logits_and_features_equal(make, window, side, dtype, tolerance):
    """Logits and the four feature maps, before normalisation as the peers give them, agree relative to the largest."""
    _, logits, features, ours = pair(make, window, side, dtype)
    x = torch.randn(2, 3, side, side, dtype=dtype)
    expected = logits(x)
    assert (ours(x) - expected).abs().max() <= tolerance * expected.abs().max()
    ours.backbone.out_indices = [0, 1, 2, 3]
    ours.backbone.norm0 = ours.backbone.norm1 = ours.backbone.norm2 = ours.backbone.norm3 = nn.Identity()
    maps = features(x)
    for ours_map, peer_map in zip(ours.backbone(x), maps, strict=True):
        assert (ours_map - peer_map).abs().max() <= tolerance * peer_map.abs().max()


@pytest.mark.parametrize(("make", "window", "side"), PEERS[::2])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["float32", "float64"]
)
def test_gradients_equal(make, window, side, dtype, tolerance):
    """Every weight has the peer's gradient, relative to the largest of the model; in float64 to its own largest."""
    model, logits, _, ours = pair(make, window, side, dtype)
    x = torch.randn(2, 3, side, side, dtype=dtype)
    logits(x).square().sum().backward()
    ours(x).square().sum().backward()
    buffers = {k: v for k, v in model.state_dict().items() if k not in dict(model.named_parameters())}
    expected = copy.deepcopy(ours)
    load_weights(expected, {**buffers, **{name: p.grad for name, p in model.named_parameters()}})
    largest = max(p.abs().max() for p in expected.parameters())
    for (name, theirs), own in zip(expected.named_parameters(), ours.parameters(), strict=True):
        bound = tolerance * (largest if dtype == torch.float32 else max(theirs.abs().max(), 1e-3 * largest))
        assert (own.grad - theirs).abs().max() <= bound, name


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(96, 160), (64, 224)])
def test_oblong_images_equal_timm(height, width):
    """Oblong images whose maps are multiples of the window."""
    build = partial(
        timm.models.swin_transformer_v2.SwinTransformerV2, window_size=4, embed_dim=DIM, depths=DEPTHS, num_heads=HEADS
    )
    peer = build((height, width), num_classes=CLASSES).double().eval()
    trained = [peer.layers[i].blocks[0].attn.window_size for i in range(4)]
    backbone = SwinTransformerV2(window_size=4, embed_dim=DIM, depths=DEPTHS, num_heads=HEADS, out_indices=(3,))
    ours = ImageClassifier(backbone, CLASSES).double().eval()
    load_weights(ours, peer.state_dict())
    ours.backbone.set_pretrained_window_sizes(trained)
    x = torch.randn(1, 3, height, width, dtype=torch.float64)
    torch.testing.assert_close(ours(x), peer(x), rtol=0, atol=1e-10)
