import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segmentation.inference import predictor as inference
from segmentation.inference.predictor import segment
from segmentation.inference.sliding import Sliding
from segmentation.inference.test_time_augmentation import Views
from swinv2.imaging.resize import resize, scaled


class Coarse(nn.Module):
    """Logits at a quarter of the resolution, which depend on the neighbourhood and on where left and right are."""

    def __init__(self, num_classes=7):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.head = nn.Conv2d(8, num_classes, 3, padding=1)

    def forward(self, images):
        height, width = images.shape[2:]
        images = images.float() / 255
        return 20 * self.head(self.patches(F.pad(images, (0, -width % 4, 0, -height % 4))).relu())


@pytest.fixture
def model():
    """An untrained model, in evaluation."""
    return Coarse().eval()


def picture(height, width):
    """Noise with structure of several sizes."""
    maps = [torch.rand(1, 3, height // step + 1, width // step + 1) for step in (3, 11)]
    return sum(127 * F.interpolate(m, size=(height, width), mode="bilinear")[0] for m in maps).to(torch.uint8)


def interpolated(logits, size):
    """Logits (k, h, w) in full size."""
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)[0]


def slide(model, image, crop, stride):
    """Logits (k, h, w) by windows, as mmsegmentation takes them: sums of the size of the image, and counts."""
    height, width = image.shape[1:]
    total = count = 0
    for i in range(max(height - crop + stride - 1, 0) // stride + 1):
        for j in range(max(width - crop + stride - 1, 0) // stride + 1):
            bottom, right = min(i * stride + crop, height), min(j * stride + crop, width)
            top, left = max(bottom - crop, 0), max(right - crop, 0)
            window = interpolated(model(image[None, :, top:bottom, left:right]), (bottom - top, right - left))
            border = (left, width - right, top, height - bottom)
            total = total + F.pad(window, border)
            count = count + F.pad(torch.ones_like(window), border)
    return total / count


def probabilities(model, image, views, original, crop=None, stride=None):
    """Mean of the probabilities of all views, each in the full size, as mmsegmentation's aug_test does it."""
    size = (image.shape[1], image.shape[2])
    total = 0
    for scale in views.scales:
        for flip in (False, True) if views.flip else (False,):
            view = resize(image, scaled(*size, scale))
            view = view.flip(-1) if flip else view
            logits = interpolated(model(view[None]), original) if crop is None else slide(model, view, crop, stride)
            total = total + (logits.flip(-1) if flip else logits).softmax(0)
    return total


def check_labels(labels, scores):
    """Each pixel has the class with the highest score, but for rounding, and all kinds of classes occur."""
    assert labels.shape == scores.shape[1:]
    chosen = scores.gather(0, labels[None].long())[0]
    assert (scores.amax(0) - chosen).max() < 1e-5 * scores.abs().max()
    assert (labels == scores.argmax(0)).float().mean() > 0.99
    assert len(labels.unique()) > 1


@pytest.fixture(params=[2**20, 300], ids=["one tile", "many tiles"])
def tiles(request, monkeypatch):
    """Memory for all scores at once, or only for few."""
    monkeypatch.setattr(inference, "TILE", request.param)
    if request.param == 300:
        monkeypatch.setattr(inference, "BAND", 5)


@pytest.mark.parametrize("size", [(64, 96), (61, 83), (5, 3), (1, 1), (171, 40)])
@torch.no_grad()
def test_whole_equals_plain_interpolation(model, tiles, size):
    """The labels are those of logits interpolated to the size of the image, whatever its size."""
    image = picture(*size)
    labels = segment(model, image, size)
    logits = interpolated(model(image[None]), size)
    assert labels.dtype == torch.int16
    assert (logits.amax(0) - logits.gather(0, labels[None].long())[0]).max() < 1e-5


@torch.no_grad()
def test_whole_in_another_size(model, tiles):
    """Looked at in another size, the coarse logits go straight to the pixels of the image."""
    image = picture(50, 70)
    check_labels(segment(model, image, (75, 105)), interpolated(model(resize(image, (75, 105))[None]), (50, 70)))


@pytest.mark.parametrize("size", [(100, 120), (67, 90), (32, 100), (20, 25), (33, 33)])
@pytest.mark.parametrize("stride", [20, 32, 7])
@torch.no_grad()
def test_sliding_equals_sums_and_counts(model, tiles, size, stride):
    """Sliding gives the labels of full-size sums of logits, divided by the number of windows."""
    image = picture(*size)
    check_labels(segment(model, image, size, Sliding(32, stride, batch_size=2)), slide(model, image, 32, stride))


@pytest.mark.parametrize("crop_size", [90, 200])
@pytest.mark.parametrize("size", [(90, 70), (61, 47), (45, 35)])
def test_window_as_large_as_the_image_equals_whole(model, crop_size, size):
    """One window that shows all gives exactly what the whole image gives, also in another size and in views."""
    image, views = picture(61, 47), Views(scales=[0.5, 1.0])
    assert torch.equal(segment(model, image, size), segment(model, image, size, Sliding(crop_size)))
    assert torch.equal(segment(model, image, size, views=views), segment(model, image, size, Sliding(crop_size), views))


@torch.no_grad()
def test_sliding_in_another_size_averages_windows_at_the_centres_of_pixels(model, tiles):
    """In a resized image each pixel takes the mean of the windows in which its centre lies, interpolated there."""
    image, original, size = picture(40, 52), (40, 52), (62, 81)
    copy = resize(image, size)
    centres = [(torch.arange(old) + 0.5) * new / old for old, new in zip(original, size, strict=True)]
    total, count = torch.zeros(7, *original), torch.zeros(original)
    for top in (0, 20, 30):
        for left in (0, 20, 40, 49):
            coarse = model(copy[None, :, top : top + 32, left : left + 32])
            rows, columns = ((c - start) / 16 - 1 for c, start in zip(centres, (top, left), strict=True))
            grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)[None]  # x and y, -1 to 1
            inside = ((grid >= -1) & (grid < 1)).all(-1)[0]
            read = F.grid_sample(coarse, grid, padding_mode="border", align_corners=False)[0]
            total, count = total + read * inside, count + inside
    check_labels(segment(model, image, size, Sliding(32, 20)), total / count)


@torch.no_grad()
def test_views_equal_mean_of_probabilities(model, tiles):
    """Several views give the class with the highest mean probability at the size of the image."""
    image, views = picture(48, 61), Views(scales=[0.5, 1.0, 1.75])
    check_labels(segment(model, image, (48, 61), views=views), probabilities(model, image, views, (48, 61)))


@torch.no_grad()
def test_views_slide(model, tiles):
    """With sliding, each view does so, the flipped one from its own left."""
    image, views = picture(48, 61), Views(scales=[1.0])
    expected = probabilities(model, image, views, (48, 61), crop=32, stride=20)
    check_labels(segment(model, image, (48, 61), Sliding(32, 20), views), expected)


@pytest.mark.parametrize("sliding", [None, Sliding(32, 20)])
def test_flip_averaging_of_a_symmetric_image_is_symmetric(model, sliding):
    """A model that prefers one side gives a symmetric answer once both sides are averaged, and only then."""
    half = picture(48, 40)
    image = torch.cat([half, half.flip(-1)], dim=-1)
    both = segment(model, image, (48, 80), sliding, Views(scales=[1.0, 1.5]))
    one = segment(model, image, (48, 80), sliding, Views(scales=[1.0, 1.5], flip=False))
    assert (both == both.flip(-1)).float().mean() > 0.999  # but for pixels where two classes are equal
    assert (one == one.flip(-1)).float().mean() < 0.99


def test_one_class():
    """With one class every pixel has it."""
    assert not segment(Coarse(num_classes=1).eval(), picture(20, 30), (20, 30), views=Views()).any()


def test_of_equal_classes_the_first(model):
    """Where all classes are equal the first is taken."""
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    assert not segment(model, picture(20, 30), (20, 30), Sliding(8)).any()


def test_image_stays_as_it_was(model):
    """Neither looking in several views nor sliding changes the image."""
    image = picture(40, 50)
    before = image.clone()
    segment(model, image, (40, 50), Sliding(32), Views())
    assert torch.equal(image, before)


def test_model_without_parameters():
    """A model without parameters is given images where they are."""
    labels = segment(nn.AvgPool2d(4, ceil_mode=True).eval(), torch.rand(3, 9, 9), (9, 9))
    assert labels.shape == (9, 9)


@torch.no_grad()
def test_half_precision(model):
    """Logits of half precision are interpolated and averaged in full."""
    model.register_forward_hook(lambda module, images, logits: logits.bfloat16())
    image = picture(64, 60)
    check_labels(segment(model, image, (64, 60)), interpolated(model(image[None]).float(), (64, 60)))


def test_model_in_training(model):
    """Training mode is refused: it has other normalisation, and gives losses."""
    with pytest.raises(ValueError, match=r"call model.eval\(\)"):
        segment(model.train(), picture(8, 8), (8, 8))


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (8, 8, 3), (1, 3, 8, 8), (3, 0, 8)])
def test_shape_of_the_image(model, shape):
    """What is no RGB image, channels first, is refused."""
    with pytest.raises(ValueError, match=r"image has shape .*give \(3, height, width\)"):
        segment(model, torch.zeros(shape), (8, 8))


def test_size_out_of_range(model):
    """A size without pixels is refused."""
    with pytest.raises(ValueError, match=r"size must be .* got \(0, 8\)"):
        segment(model, picture(8, 8), (0, 8))
