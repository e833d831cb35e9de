import pytest
import torch

from detection.detectors.global_attention import GlobalAttention


def opened(dim=8, heads=2):
    """A layer whose branches are open."""
    torch.manual_seed(0)
    layer = GlobalAttention(dim, heads).eval()
    for norm in (layer.norm1, layer.norm2):
        torch.nn.init.ones_(norm.weight)
    return layer


def test_a_new_layer_is_the_identity():
    """It can be added to a trained detector."""
    x = torch.randn(2, 8, 5, 7)
    assert torch.equal(GlobalAttention(8, 2)(x), x)


def test_every_place_sees_every_other():
    """A change in one corner reaches the opposite one."""
    layer, x = opened(), torch.randn(1, 8, 6, 9)
    changed = x.clone()
    changed[..., 0, 0] += 1
    assert (layer(changed) - layer(x))[..., -1, -1].abs().max() > 1e-5


def test_attention_is_a_softmax_of_scaled_cosines():
    """Written out token by token for each head."""
    layer, tokens = opened(), torch.randn(1, 6, 8)
    q, k, v = layer.qkv(tokens)[0].view(6, 3, 2, 4).unbind(1)  # (6, heads, 4)
    out = torch.zeros(6, 2, 4)
    for head in range(2):
        for i in range(6):
            cosines = torch.stack([torch.cosine_similarity(q[i, head], k[j, head], dim=0) for j in range(6)])
            weights = (cosines * layer.logit_scale[head].exp().flatten()).softmax(0)
            out[i, head] = weights @ v[:, head]
    torch.testing.assert_close(layer.attend(tokens)[0], layer.proj(out.flatten(1)))


def test_heads_must_share_the_channels():
    """Eight channels cannot be shared by three heads."""
    with pytest.raises(ValueError, match="8 channels of the last map cannot be shared by 3 heads"):
        GlobalAttention(8, 3)
