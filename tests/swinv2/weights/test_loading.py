import logging
import math

import pytest
import torch
from timm.models.swin_transformer_v2 import SwinTransformerV2 as TimmModel
from torch import nn
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2
from transformers import Swinv2Config, Swinv2ForImageClassification

from swinv2 import SwinTransformerV2, convert, create_backbone, load_weights
from swinv2.classifier import ImageClassifier
from swinv2.weights.conversion import WRITABLE, from_official, to_official
from swinv2.weights.files import read_checkpoint

SIZES = {"embed_dim": 24, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 3, 6), "window_size": 4}
WINDOWS = ((4, 4),) * 4


class Detector(nn.Module):
    """A model with a backbone and parts of its own."""

    def __init__(self, num_classes=5):
        super().__init__()
        self.backbone = SwinTransformerV2(**SIZES)
        self.fpn = nn.Linear(24, 8)
        self.classes = nn.Linear(8, num_classes)


def randomised(model, seed=1):
    """No weight is left at zero or one."""
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.data = torch.randn(weight.shape, generator=generator).to(weight.dtype) / 2
    return model.eval()


def classifier(num_classes=5, **options):
    """A small classifier of ours."""
    return randomised(ImageClassifier(SwinTransformerV2(**SIZES | options, out_indices=(3,)), num_classes), seed=2)


def peer(name):
    """The small classifier of another project in float64."""
    depths, heads = list(SIZES["depths"]), list(SIZES["num_heads"])
    if name == "timm":
        model = TimmModel(img_size=128, num_classes=5, **SIZES)
    elif name == "torchvision":
        options = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2, "num_classes": 5}
        model = SwinTransformer([4, 4], 24, depths, heads, [4, 4], **options)
    else:
        options = {"image_size": 128, "embed_dim": 24, "depths": depths, "num_heads": heads, "window_size": 4}
        model = Swinv2ForImageClassification(Swinv2Config(**options, num_labels=5))
    return randomised(model).double()


def table(window, trained):
    """Relative coordinates of a window in another's unit, (1, 2·w - 1, 2·w - 1, 2)."""
    steps = torch.arange(1 - window, window, dtype=torch.float64) * 8 / (trained - 1)
    steps = steps.sign() * torch.log2(1 + steps.abs()) / math.log2(8)
    return torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).unsqueeze(0)


def official(**options):
    """Weights as the official repository has them, of another small classifier."""
    model = randomised(ImageClassifier(SwinTransformerV2(**SIZES | options, out_indices=(3,)), 5))
    return to_official(model.state_dict(), "ours")


def loaded(model, weights):
    """Whether the model has these weights, given under official names."""
    own = to_official(model.state_dict(), "ours")
    return all(torch.equal(own[key], value) for key, value in weights.items())


@pytest.mark.parametrize("name", ["timm", "torchvision", "hf"])
def test_logits_equal_those_of_the_peer(name):
    """A peer's random weights give the peer's logits to the last digits."""
    theirs, ours, images = peer(name), classifier().double(), torch.randn(2, 3, 128, 128, dtype=torch.float64)
    report = load_weights(ours, theirs.state_dict())
    assert (report.format, report.missing, report.unexpected, report.adapted) == (name, (), (), ())
    with torch.no_grad():
        expected = theirs(images)
        torch.testing.assert_close(ours(images), getattr(expected, "logits", expected), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("target", WRITABLE)
def test_every_layout_is_loaded(tmp_path, target):
    """Our weights, written in any layout, are the same when loaded again."""
    convert(classifier().state_dict(), tmp_path / "weights.pth", target)
    model = randomised(classifier())
    report = load_weights(model, tmp_path / "weights.pth")
    assert (report.format, report.missing, report.unexpected) == (target, (), ())
    assert loaded(model, to_official(classifier().state_dict(), "ours"))


def test_official_weights_give_features():
    """The only norm of an official file is that of the last output; finer ones stay as they were."""
    backbone = SwinTransformerV2(**SIZES)
    report = load_weights(backbone, {"model": official()})
    assert torch.equal(backbone.norm3.weight, official()["norm.weight"])
    assert report.missing == tuple(f"norm{i}.{kind}" for i in range(3) for kind in ("weight", "bias"))
    assert report.unexpected == ("head.weight", "head.bias")


def test_simmim_weights_are_loaded():
    """Old names are known; the mask token and the decoder are left out and reported."""
    state = {
        f"encoder.{key.replace('cpb_mlp', 'rpe_mlp')}": value for key, value in official().items() if "head" not in key
    }
    state |= {"encoder.mask_token": torch.zeros(1, 1, 24), "decoder.0.weight": torch.zeros(3072, 192, 1, 1)}
    backbone = SwinTransformerV2(**SIZES, out_indices=(3,))
    report = load_weights(backbone, {"model": state})
    assert (report.format, report.missing) == ("simmim", ())
    assert report.unexpected == ("mask_token", "decoder.0.weight")
    assert "not used: mask_token, decoder.0.weight" in str(report)


def test_dense_weights_of_the_authors_are_loaded():
    """Their code for depth estimation has old names, a norm for each output and extra norms."""
    weights = to_official(randomised(SwinTransformerV2(**SIZES, extra_norm_period=1)).state_dict(), "ours")
    state = {
        f"backbone.{key.replace('cpb_mlp', 'rpe_mlp').replace('norm.', 'norm3.')}": value
        for key, value in weights.items()
    }
    state = {key.replace("downsample.norm3", "downsample.norm"): value for key, value in state.items()}
    state = {key.replace("embed.norm3", "embed.norm").replace("enorm3", "enorm"): value for key, value in state.items()}
    backbone = SwinTransformerV2(**SIZES, extra_norm_period=1)
    report = load_weights(backbone, {f"module.{key}": value for key, value in state.items()})
    assert (report.format, report.missing, report.unexpected) == ("simmim", (), ())
    assert loaded(backbone, weights)


@pytest.mark.parametrize("prefix", ["", "model."], ids=["model", "lightning"])
def test_own_detectors_are_loaded_with_their_heads(prefix):
    """A checkpoint of ours fills everything, whether of the model or of its Lightning module."""
    theirs, ours = randomised(Detector()), Detector()
    report = load_weights(ours, {"state_dict": {f"{prefix}{key}": value for key, value in theirs.state_dict().items()}})
    assert (report.format, report.missing, report.unexpected) == ("ours", (), ())
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_lightning_module_takes_the_weights_of_its_model():
    """The other way round, weights of the model alone are found within it."""
    task = nn.ModuleDict({"model": Detector()})
    assert load_weights(task, randomised(Detector()).state_dict()).missing == ()


def test_a_detector_starts_from_a_classifier():
    """Only the backbone is shared; the report says what is not."""
    detector = Detector()
    report = load_weights(detector, classifier().state_dict())
    assert torch.equal(detector.backbone.norm3.bias, classifier().backbone.norm3.bias)
    assert {"fpn.weight", "classes.bias", "backbone.norm0.weight"} <= set(report.missing)
    assert report.unexpected == ("head.weight", "head.bias")


def test_a_head_of_other_classes_stays_as_it_was(caplog):
    """The rest is loaded, and how much was left out is logged."""
    model = classifier(num_classes=7)
    before = model.head.weight.clone()
    report = load_weights(model, official())
    assert torch.equal(model.head.weight, before)
    assert report.missing == ("head.weight", "head.bias")
    assert "not loaded, since (5, 192) is not (7, 192): head" in str(report)
    assert (
        "the state dict: 2 tensors that do not fit stay as they were initialised: head.weight not loaded, since (5"
        in caplog.text
    )


def test_own_heads_of_other_classes_stay_as_they_were(caplog):
    """A detector of other classes keeps all but its last layer."""
    report = load_weights(Detector(num_classes=7), randomised(Detector()).state_dict())
    assert report.missing == ("classes.weight", "classes.bias")
    assert "2 tensors that do not fit stay as they were" in caplog.text


def test_any_number_of_channels():
    """A model of twelve channels starts from one of three, and says so."""
    model = classifier(in_channels=12)
    report = load_weights(model, official())
    assert report.adapted == (("backbone.patch_embed.proj.weight", "3 channels to 12"),)
    assert torch.equal(model.backbone.patch_embed.proj.weight[:, 9:], official()["patch_embed.proj.weight"] / 4)


def test_a_clip_of_one_image_is_the_image():
    """Image weights in a video model give a clip of repeated frames the image's features."""
    image = SwinTransformerV2(**SIZES)
    windows = {"window_size": (3, 4, 4), "pretrained_window_sizes": (2, 7, 7)}
    video = SwinTransformerV2((2, 4, 4), merge_stride=(1, 2, 2), **SIZES | windows)
    weights = to_official(randomised(SwinTransformerV2(**SIZES)).state_dict(), "ours")
    load_weights(image, weights | {"_extra_state": torch.tensor(WINDOWS)})
    report = load_weights(video, weights | {"_extra_state": torch.tensor(WINDOWS)})
    assert report.pretrained_window_sizes == ((2, 4, 4),) * 4
    images = torch.randn(1, 3, 50, 44)
    with torch.no_grad():
        for frame, clip in zip(image(images), video(images.unsqueeze(2).expand(-1, -1, 6, -1, -1)), strict=True):
            torch.testing.assert_close(clip, frame.unsqueeze(2).expand_as(clip), atol=1e-4, rtol=1e-4)


def test_video_weights_do_not_fit_an_image_model():
    """A frame alone is not what they were trained on."""
    video = SwinTransformerV2((2, 4, 4), merge_stride=(1, 2, 2), **SIZES)
    with pytest.raises(ValueError, match=r"patch_embed.proj.weight is \(24, 3, 2, 4, 4\) in the checkpoint"):
        load_weights(SwinTransformerV2(**SIZES), video.state_dict())


def test_the_window_of_the_training_is_taken_from_tables():
    """Fine-tuned at 8 after a training at 6, offsets are measured in the window of 6, and the model's window stays."""
    weights = official()
    tables = {
        f"layers.{i}.blocks.{j}.attn.relative_coords_table": table(*sizes)
        for i, (depth, sizes) in enumerate(zip(SIZES["depths"], [(8, 6), (8, 6), (8, 6), (4, 3)], strict=True))
        for j in range(depth)
    }
    model = classifier()
    report = load_weights(model, weights | tables)
    assert model.backbone.pretrained_window_sizes == [(6, 6), (6, 6), (6, 6), (3, 3)]
    assert model.backbone.window_size == [(4, 4)] * 4
    assert report.windows_from == "the checkpoint"


def test_the_window_of_the_training_travels_with_our_weights():
    """A window set before saving is there after loading."""
    model = classifier()
    load_weights(model, classifier(pretrained_window_sizes=[5, 6, 7, 3]).state_dict())
    assert model.backbone.pretrained_window_sizes == [(5, 5), (6, 6), (7, 7), (3, 3)]


def test_the_window_of_the_training_is_taken_from_the_name(tmp_path):
    """Files without tables are named as the release names them."""
    file = tmp_path / "swinv2_base_window12to16_192to256.safetensors"
    convert(official(), file, "timm")
    assert load_weights(classifier(), file).pretrained_window_sizes == ((12, 12), (12, 12), (12, 12), (6, 6))


def test_the_window_of_the_training_stays_where_nothing_tells_it():
    """The model's own is kept, and the report says that."""
    report = load_weights(classifier(pretrained_window_sizes=7), official())
    assert report.pretrained_window_sizes == ((7, 7),) * 4
    assert report.windows_from == "the model, since the checkpoint does not say"


def test_half_precision_is_read():
    """Weights are converted to the model's type."""
    model = classifier()
    load_weights(model, {key: value.half() for key, value in official().items()})
    assert loaded(model, {key: value.half().float() for key, value in official().items()})


def test_weights_of_another_variant_are_refused():
    """The error says of which variant they are, and the model is as before."""
    model = classifier()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(
        ValueError, match=r"the state dict is of another model: it has embed_dim 24, depths \(1, 1, 3, 1\)"
    ):
        load_weights(model, official(depths=(1, 1, 3, 1)))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_weights_that_fill_little_are_refused():
    """The error says how little, and the nearest names of what was not understood."""
    weights = {
        key.replace("mlp", "MLP").replace("qkv", "QKV").replace("norm", "Norm"): v for key, v in official().items()
    }
    weights |= {key: value for key, value in official().items() if "cpb_mlp.0" in key}
    with pytest.raises(ValueError, match=r"the state dict \(official\) fills only .*nearest: backbone"):
        load_weights(classifier(), weights)


def test_weights_of_another_network_are_refused(tmp_path):
    """The error names the file and some of its keys."""
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(ValueError, match=r"linear.pth has no SwinV2 weights among 2 keys \(bias, weight, …\)"):
        load_weights(classifier(), tmp_path / "linear.pth")


def test_swin_v1_is_refused():
    """Swin V1 has tables in place of the bias network."""
    weights = {key.replace("cpb_mlp.0.weight", "relative_position_bias_table"): v for key, v in official().items()}
    with pytest.raises(ValueError, match="Swin V1's"):
        load_weights(classifier(), {key: value for key, value in weights.items() if "cpb_mlp" not in key})


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (nn.Linear(2, 2), "Linear should hold one SwinTransformerV2, has none"),
        (nn.ModuleDict({"a": Detector(), "b": Detector()}), "has a.backbone, b.backbone; give the part to load"),
    ],
)
def test_a_model_needs_one_backbone(model, found):
    """The error names the backbones there are."""
    with pytest.raises(ValueError, match=found):
        load_weights(model, official())


def test_the_report_is_a_few_lines():
    """Counts and groups of names, not hundreds of lines."""
    backbone = create_backbone(
        "swinv2_tiny_window8_256", video=True, embed_dim=24, num_heads=(1, 2, 3, 6), in_channels=1
    )
    report = load_weights(backbone, official(depths=(2, 2, 6, 2)))
    assert str(report).splitlines() == [
        "official weights: 219 of 225 tensors loaded",
        "  trained with windows 8x8x8, 8x8x8, 8x8x8, 8x8x8 (from the model, since the checkpoint does not say)",
        "  adapted, 3 channels to 1 and repeated over 2 frames: patch_embed.proj.weight",
        "  adapted, offsets in time without effect: layers.0 (2), layers.1 (2), layers.2 (6), layers.3 (2)",
        "  left as they were: norm0 (2), norm1 (2), norm2 (2)",
        "  not used: head (2)",
    ]


def test_what_was_loaded_is_logged(caplog):
    """The report is in the log."""
    with caplog.at_level(logging.INFO):
        load_weights(classifier(), official())
    assert "the state dict: official weights" in caplog.text


def test_official_files_are_written_as_in_the_release(tmp_path):
    """A .pth has the weights under `model`, a safetensors file has them plainly."""
    for name in ("official.pth", "official.safetensors"):
        convert(classifier().state_dict(), tmp_path / name, "official")
    content = torch.load(tmp_path / "official.pth", weights_only=True)
    assert content.keys() == {"model"}
    assert content["model"].keys() == read_checkpoint(tmp_path / "official.safetensors").keys()


def test_conversion_says_what_has_no_place(tmp_path, caplog):
    """Parts of a detector are not written, and counted in the log."""
    convert(Detector().state_dict(), tmp_path / "backbone.safetensors", "timm")
    assert "10 tensors of the state dict have no place in the timm layout: norm0 (2)" in caplog.text


def test_torchvision_files_have_the_window_of_the_name(tmp_path):
    """To write its tables, the window is taken from the name of the file that is read."""
    convert(official(), tmp_path / "swinv2_tiny_window4_128.pth", "timm")
    convert(tmp_path / "swinv2_tiny_window4_128.pth", tmp_path / "tv.pth", "torchvision")
    expected = from_official(official(), "torchvision", WINDOWS)
    written = read_checkpoint(tmp_path / "tv.pth")
    assert all(torch.equal(written[key], value) for key, value in expected.items())


def by_prefix(state, prefix):
    """The same tensors as parts of something else."""
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize("target", WRITABLE)
@pytest.mark.parametrize(
    "prefix", ["model.", "net.", "module.module.", "ema_model.module.", "encoder.model.", "a.b.c."]
)
def test_heads_behind_any_prefix_are_loaded(target, prefix):
    """A classifier that was trained in a wrapper is found with its backbone."""
    model = randomised(classifier())
    weights = from_official(official(), target, WINDOWS)
    report = load_weights(model, {"state_dict": by_prefix(weights, prefix)})
    assert (report.format, report.missing, report.unexpected) == (target, (), ())
    assert loaded(model, official())


@pytest.mark.parametrize("target", WRITABLE)
def test_conversion_writes_no_doubled_names(tmp_path, target):
    """From any wrapper, the layout has the keys that it has from the weights alone."""
    weights = from_official(official(), "torchvision", WINDOWS)
    convert({"state_dict": by_prefix(weights, "model.net.")}, tmp_path / "weights.safetensors", target)
    assert read_checkpoint(tmp_path / "weights.safetensors").keys() == from_official(official(), target, WINDOWS).keys()


@pytest.mark.parametrize("name", ["head", "classifier", "fc", "task.cls_head.fc", "far.away.head.fc"])
def test_heads_of_usual_names_are_found_anywhere(name):
    """A backbone in one module and its linear layer in another, as in code of one's own."""
    weights = by_prefix({k: v for k, v in official().items() if "head" not in k}, "net.backbone.")
    heads = {f"{name}.weight": official()["head.weight"], f"{name}.bias": official()["head.bias"]}
    model = classifier()
    assert load_weights(model, weights | heads).missing == ()
    assert torch.equal(model.head.weight, official()["head.weight"])


def test_a_head_of_ones_own_keeps_its_name():
    """What is called like a classifier elsewhere is loaded by its own name where the model has that."""

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = SwinTransformerV2(**SIZES, out_indices=(3,))
            self.classifier = nn.Linear(192, 5)

    theirs, ours = randomised(Own()), Own()
    assert load_weights(ours, by_prefix(theirs.state_dict(), "model.")).missing == ()
    assert torch.equal(ours.classifier.weight, theirs.classifier.weight)


def test_heads_that_stay_random_are_warned_of(caplog):
    """With the reason, and with what the checkpoint has in their place."""
    weights = {k: v for k, v in official().items() if "head" not in k}
    load_weights(classifier(), weights | {"last.1.weight": torch.zeros(5, 192)})
    assert (
        "2 tensors stay as they were initialised, since the checkpoint has none for them: head (2). Not used of it: "
        "last.1.weight; rename one that is meant to e.g. head.weight." in caplog.text
    )


def test_heads_without_numbers_stay_as_they_were(caplog):
    """A classifier that has diverged is no use, a backbone that has is refused."""
    model = classifier()
    before = model.head.weight.clone()
    load_weights(model, official() | {"head.weight": torch.full((5, 192), math.nan)})
    assert torch.equal(model.head.weight, before)
    assert "head.weight not loaded, since it has 960 of 960 values that are not finite" in caplog.text
    with pytest.raises(ValueError, match=r"the state dict: norm.weight has 192 of 192 values that are not finite"):
        load_weights(model, official() | {"norm.weight": torch.full((192,), math.inf)})


@pytest.mark.parametrize(
    "strange",
    [
        lambda value: (value * 9).to(torch.int8),
        lambda value: value > 0,
        lambda value: value.to(torch.complex64),
        lambda value: value.to_sparse(),
        lambda value: value / 0,
        lambda value: value.to(torch.float8_e4m3fn),
        lambda value: value[:0],
        lambda value: torch.nested.nested_tensor([value[0], value[0]]),
    ],
    ids=["whole", "boolean", "complex", "sparse", "infinite", "8 bits", "empty", "nested"],
)
@pytest.mark.parametrize("key", ["layers.0.blocks.0.attn.proj.weight", "head.weight"])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:.*sparse tensor invariants")
def test_strange_tensors_are_named(tmp_path, caplog, key, strange):
    """File and tensor, in an error or, beside the backbone, in a warning; the model has no such numbers."""
    weights = official()
    torch.save(weights | {key: strange(weights[key])}, tmp_path / "strange.pth")
    model = classifier()
    try:
        load_weights(model, tmp_path / "strange.pth")
        said = caplog.text
    except ValueError as error:
        said = str(error)
    assert "strange.pth" in said
    assert f"{key} " in said
    assert all(value.isfinite().all() for value in model.parameters())


def test_numbers_beyond_the_type_of_the_model_are_refused():
    """In half precision they would be infinite."""
    with pytest.raises(ValueError, match=r"backbone.norm3.bias has 1 of 192 values that are not finite"):
        load_weights(classifier().half(), official() | {"norm.bias": torch.tensor([1e6] + [0.0] * 191)})


def test_what_is_left_of_a_backbone_is_warned_of(caplog):
    """Positions that are added, adapters and the like change what the backbone computes."""
    load_weights(classifier(), official() | {"absolute_pos_embed": torch.zeros(1), "layers.0.lora": torch.zeros(1)})
    assert "2 tensors of its backbone have no place in the model: absolute_pos_embed, layers.0.lora" in caplog.text


def test_good_checkpoints_are_loaded_in_silence(caplog):
    """Ours and named ones, whole and in parts, give no warning."""
    load_weights(classifier(), classifier().state_dict())
    load_weights(SwinTransformerV2(**SIZES), classifier().state_dict())
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_windows_that_nothing_tells_are_warned_of(caplog):
    """With how to tell them."""
    load_weights(classifier(), official())
    assert "does not say in which windows it was trained" in caplog.text
    assert "call set_pretrained_window_sizes on the backbone after loading, or name the file by window" in caplog.text


def test_features_of_timm_are_loaded(caplog):
    """Its model that only gives features has other names of stages, and neither norm nor classifier."""
    weights = {k.replace("layers.", "layers_", 1): v for k, v in from_official(official(), "timm").items()}
    weights = {k: v for k, v in weights.items() if not k.startswith(("norm", "head"))}
    backbone = SwinTransformerV2(**SIZES)
    report = load_weights(backbone, by_prefix(weights, "encoder.model."))
    assert (report.format, report.unexpected) == ("timm", ())
    assert all(name.startswith("norm") for name in report.missing)
    assert "stay as they were initialised, since the checkpoint has none for them: norm3 (2)" in caplog.text


def test_norms_beside_the_backbone_are_not_its_own():
    """A norm of what stands on the backbone has the name of the backbone's, elsewhere."""
    model = classifier()
    weights = by_prefix(official(), "encoder.")
    load_weights(model, weights | {"norm.weight": torch.zeros(192), "norm.bias": torch.zeros(192)})
    assert torch.equal(model.backbone.norm3.weight, official()["norm.weight"])


@pytest.mark.parametrize("change", [lambda x: x[:, :1], lambda x: x.flatten()], ids=["one axis", "flat"])
def test_offsets_along_other_axes_are_refused(change):
    """A network of one offset is no part of a model of images, however well it could be filled up."""
    key = "layers.0.blocks.0.attn.cpb_mlp.0.weight"
    with pytest.raises(ValueError, match=rf"the state dict is damaged: {key} is .* its patches have 2 axes"):
        load_weights(classifier(), official() | {key: change(official()[key])})


def test_errors_say_which_of_several_models_they_mean():
    """A teacher of another size is taken first, and named."""
    both = by_prefix(official(), "student.") | by_prefix(official(depths=(1, 1, 1, 1)), "teacher.")
    with pytest.raises(ValueError, match=r"the state dict \(at teacher\) is of another model"):
        load_weights(classifier(), both)


def test_adapters_that_are_not_merged_are_refused(tmp_path):
    """With LoRA beside a weight, the weight alone would give other features."""
    weights = official()
    key = "layers.0.blocks.0.attn.qkv.weight"
    whole = weights.pop(key)
    parts = {"base_layer.weight": whole, "lora_A.default.weight": whole[:4], "lora_B.default.weight": whole[:, :4]}
    adapted = weights | {key.replace("weight", name): value for name, value in parts.items()}
    adapted = {f"base_model.model.{name}": value for name, value in adapted.items()}
    with pytest.raises(
        ValueError, match=r"base_layer\.weight is a part of an adapter .*; save model\.merge_and_unload"
    ):
        load_weights(classifier(), adapted)
    with pytest.raises(ValueError, match=r"base_layer.weight is a part of an adapter"):
        convert(adapted, tmp_path / "out.pth", "timm")
    with pytest.raises(ValueError, match=r"they are an adapter \(LoRA\) without the model"):
        load_weights(classifier(), {name: value for name, value in adapted.items() if "lora" in name})
