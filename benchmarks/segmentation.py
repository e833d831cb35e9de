"""UPerNet beside transformers' UperNetForSemanticSegmentation on its Swinv2: time by part, and peak memory."""

import argparse
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import Swinv2Config, UperNetConfig, UperNetForSemanticSegmentation

import swinv2
from benchmarks.process import in_process, peak
from benchmarks.timing import machine, medians, table
from segmentation import UPerNet
from segmentation.inference.predictor import segment
from segmentation.inference.sliding import Sliding
from swinv2 import BackboneConfig
from swinv2.imaging.normalize import normalize

RESULT = Path(__file__).with_suffix(".md")
NAME, WINDOW, LARGE_WINDOW, CLASSES = "swinv2_tiny_window16_256", 16, 32, 150
WHOLE, LARGE = 1024, 2048  # sides of the images
CROP, STRIDE = 512, 341
WORK = {"whole": f"whole image, {WHOLE} x {WHOLE}", "sliding": f"windows of {CROP}, {STRIDE} apart, {LARGE} x {LARGE}"}


def main() -> None:
    """Measure, print the tables and write them beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each model is called; for windows a third")
    parser.add_argument("--peak", nargs=2, metavar=("WHOSE", "WORK"), help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args()
    if options.peak:
        print(peak_of(*options.peak))
        return
    text = f"# UPerNet, SwinV2-T, float32, inference\n\n{speed(options.rounds)}\n{memory()}\n{machine()}.\n"
    text += (
        "`python -m benchmarks.segmentation`. "
        "The same random weights in both, 150 classes, one image, from its bytes\n"
        f"to the class of each pixel; attention window {WINDOW} where no other is named. "
        "transformers has no inference\n"
        "by windows: beside ours stands the usual loop around its model, logits and counts of the whole image added\n"
        "up. Memory: resident, at most, above that of the process with the model just built.\n"
    )
    print(text)
    RESULT.write_text(text)


@torch.inference_mode()
def speed(rounds: int) -> str:
    """The table of times, and how far the two agree."""
    theirs, theirs_large = their_model(), their_model(LARGE_WINDOW)
    ours, ours_large = our_model(theirs), our_model(theirs_large, LARGE_WINDOW)
    image, large = (torch.randint(0, 256, (3, side, side), dtype=torch.uint8) for side in (WHOLE, LARGE))
    pixels = normalize(image[None], torch.float32)
    features = ours.backbone(pixels)
    pairs: dict[str, tuple[dict[str, Callable[[], object]], int]] = {
        f"backbone, {WHOLE} x {WHOLE}": (
            {"theirs": lambda: theirs.backbone(pixels), "ours": lambda: ours.backbone(pixels)},
            rounds,
        ),
        f"the same, attention window {LARGE_WINDOW}": (
            {"theirs": lambda: theirs_large.backbone(pixels), "ours": lambda: ours_large.backbone(pixels)},
            rounds,
        ),
        f"head, {WHOLE} x {WHOLE}": (
            {"theirs": lambda: theirs.decode_head(features), "ours": lambda: ours.decode_head(features)},
            rounds,
        ),
        WORK["whole"]: (
            {"theirs": lambda: their_whole(theirs, image), "ours": lambda: segment(ours, image, (WHOLE, WHOLE))},
            rounds,
        ),
        WORK["sliding"]: (
            {"theirs": lambda: their_sliding(theirs, large), "ours": lambda: our_sliding(ours, large)},
            max(rounds // 3, 1),
        ),
    }
    rows = []
    for what, (calls, times) in pairs.items():
        took = medians(calls, times, first=int(times > 1))  # one round of many windows is its own warm-up
        rows.append([what, *(f"{took[one]:.2f}" for one in calls), f"{took['ours'] / took['theirs']:.2f}", str(times)])
    header = ["", f"transformers {metadata.version('transformers')}, s", "ours, s", "ours / theirs", "rounds"]
    same = (segment(ours, image, (WHOLE, WHOLE)) == their_whole(theirs, image)).float().mean()
    return f"{table(header, rows)}\n\nMedians. Of the whole image both give {same:.4%} of the pixels the same class.\n"


def memory() -> str:
    """The table of peak memory, each in a process of its own."""
    rows = []
    for work, what in WORK.items():
        peaks = [in_process("benchmarks.segmentation", "--peak", whose, work) for whose in ("theirs", "ours")]
        rows.append([what, *(f"{one:.2f}" for one in peaks), f"{peaks[1] / peaks[0]:.2f}"])
    return table(["peak memory above the weights", "transformers, GiB", "ours, GiB", "ours / theirs"], rows) + "\n"


@torch.inference_mode()
def peak_of(whose: str, work: str) -> float:
    """Largest resident memory while an image is segmented, GiB above that before."""
    theirs = their_model()
    ours = our_model(theirs)
    side = WHOLE if work == "whole" else LARGE
    image = torch.randint(0, 256, (3, side, side), dtype=torch.uint8)
    runs: dict[tuple[str, str], Callable[[], object]] = {
        ("theirs", "whole"): lambda: their_whole(theirs, image),
        ("theirs", "sliding"): lambda: their_sliding(theirs, image),
        ("ours", "whole"): lambda: segment(ours, image, (side, side)),
        ("ours", "sliding"): lambda: our_sliding(ours, image),
    }
    return peak(runs[whose, work])


def their_model(window: int = WINDOW) -> UperNetForSemanticSegmentation:
    """The peer, with random weights."""
    torch.manual_seed(0)
    stages = [f"stage{i}" for i in range(1, 5)]
    backbone = Swinv2Config(image_size=WHOLE, window_size=window, num_heads=[3, 6, 12, 24], out_features=stages)
    return UperNetForSemanticSegmentation(UperNetConfig(backbone_config=backbone, num_labels=CLASSES)).eval()


def our_model(theirs: nn.Module, window: int = WINDOW) -> UPerNet:
    """Ours with the weights of the peer, without the norms that it lacks, prepared for inference."""
    model = UPerNet(BackboneConfig(NAME, window_size=window), CLASSES).eval()
    swinv2.load_weights(model, theirs.state_dict())
    model.backbone.set_pretrained_window_sizes(window)
    for level in range(4):
        setattr(model.backbone, f"norm{level}", nn.Identity())
    swinv2.optimize_for_inference(model)
    return model


def their_whole(model: nn.Module, image: Tensor) -> Tensor:
    """Class of each pixel of a whole image."""
    return model(normalize(image[None], torch.float32)).logits.argmax(1)[0].short()


def our_sliding(model: UPerNet, image: Tensor) -> Tensor:
    """Class of each pixel of an image, by windows."""
    return segment(model, image, (image.shape[1], image.shape[2]), Sliding(CROP, STRIDE))


def their_sliding(model: nn.Module, image: Tensor) -> Tensor:
    """The same by the usual loop: logits of the whole image and how often each pixel was seen."""
    pixels = normalize(image[None], torch.float32)
    total, seen = torch.zeros(1, CLASSES, *image.shape[1:]), torch.zeros(1, 1, *image.shape[1:])
    for top in Sliding(CROP, STRIDE).starts(image.shape[1]):
        for left in Sliding(CROP, STRIDE).starts(image.shape[2]):
            place = (..., slice(top, top + CROP), slice(left, left + CROP))
            total[place] += model(pixels[place]).logits
            seen[place] += 1
    return (total / seen).argmax(1)[0].short()


if __name__ == "__main__":
    main()
