"""SwinV2-T on clips beside torchvision's swin3d_t: time and peak memory of inference and of a training step."""

import argparse
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.video import swin3d_t

import swinv2
from benchmarks.peers import randomised
from benchmarks.process import in_process, peak
from benchmarks.timing import machine, medians, table
from swinv2 import BackboneConfig
from swinv2.imaging.normalize import normalize
from video.classifier import VideoClassifier

RESULT = Path(__file__).with_suffix(".md")
NAME, WINDOW, CLASSES, DROP_PATH = "swinv2_tiny_window8_256", [8, 7, 7], 400, 0.1  # as swin3d_t has them
CLIPS = [(32, 224), (16, 224)]  # frames, height and width
WORKS = {"inference": 0.7, "training step": 0.85}  # and the goal: ours / theirs

NOTE = f"""\
`python -m benchmarks.video`. A clip from its bytes to its logits, batch 1, {CLASSES} classes; both are built with
patches of 2 x 4 x 4, windows of {" x ".join(map(str, WINDOW))} tokens, 96 channels, 2 2 6 2 blocks and 3 6 12 24
heads. Inference in `torch.inference_mode`, ours after `swinv2.optimize_for_inference`, which packs the weights of
its linear layers; torchvision has nothing like it. A training step is the forward pass, the cross-entropy and the
backward pass with stochastic depth {DROP_PATH}, without the optimizer's step. swin3d_t is the first version of
Swin: scaled dot products with a table of position biases, norms before the branches. Ours has cosines, a position
bias computed by a network (in inference once, in training in each step) and norms behind the branches, so that the
weights are random and cannot be the same. Memory: resident, at most, in a process of its own, above that of the
process with the model just built and packed; in training it includes the gradients of the weights.
"""


def main() -> None:
    """Measure, print the tables and write them beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often each model is called")
    parser.add_argument("--peak", nargs=3, metavar=("WHOSE", "WORK", "FRAMES"), help=argparse.SUPPRESS)  # by itself
    options = parser.parse_args()
    if options.peak:
        whose, work, frames = options.peak
        print(peak(calls(work, int(frames), dict(CLIPS)[int(frames)], [whose])[whose]))
        return
    text = f"# Video, SwinV2-T, float32\n\n{speed(options.rounds)}\n{memory()}\n{machine()}.\n{NOTE}"
    print(text)
    RESULT.write_text(text)


def speed(rounds: int) -> str:
    """The table of times."""
    rows = []
    for work, goal in WORKS.items():
        for frames, side in CLIPS:
            took = medians(calls(work, frames, side), rounds)
            ratio = took["ours"] / took["theirs"]
            row = [took["theirs"], took["ours"], 1 / took["theirs"], 1 / took["ours"], ratio]
            rows.append([describe(work, frames, side), *(f"{value:.2f}" for value in row), f"{goal}"])
    peer = f"torchvision {metadata.version('torchvision')}"
    header = ["", f"{peer}, s", "ours, s", f"{peer}, clips/s", "ours, clips/s", "ours / theirs (time)", "goal"]
    return f"{table(header, rows)}\n\nMedians of {rounds} rounds, in turns.\n"


def memory() -> str:
    """The table of peak memory, each in a process of its own."""
    rows = []
    for work in WORKS:
        for frames, side in CLIPS:
            theirs, ours = (
                in_process("benchmarks.video", "--peak", whose, work, str(frames)) for whose in ("theirs", "ours")
            )
            rows.append([describe(work, frames, side), f"{theirs:.2f}", f"{ours:.2f}", f"{ours / theirs:.2f}"])
    return table(["peak memory above the model", "torchvision, GiB", "ours, GiB", "ours / theirs"], rows) + "\n"


def calls(work: str, frames: int, side: int, whose: list[str] | None = None) -> dict[str, Callable[[], object]]:
    """What is measured: each model on the same clip.

    Args:
        work: one of `WORKS`.
        frames: of the clip.
        side: its height and width, pixels.
        whose: "theirs", "ours" or both, the default.
    """
    torch.manual_seed(0)
    clip = torch.randint(0, 256, (1, 3, frames, side, side), dtype=torch.uint8)
    build = {"theirs": their_model, "ours": our_model}
    models = {name: randomised(build[name]()).train(work != "inference") for name in whose or build}
    if work == "inference":
        return {name: infer(swinv2.optimize_for_inference(model), clip) for name, model in models.items()}
    return {name: step(model, clip) for name, model in models.items()}


def infer(model: nn.Module, clip: Tensor) -> Callable[[], Tensor]:
    """A call that gives a clip's logits."""
    return torch.inference_mode()(lambda: model(clip))


def step(model: nn.Module, clip: Tensor) -> Callable[[], None]:
    """A call that gives the weights their gradients for a clip."""

    def train() -> None:
        model.zero_grad()
        F.cross_entropy(model(clip), torch.zeros(len(clip), dtype=torch.long)).backward()

    return train


class Normalized(nn.Module):
    """torchvision's model behind the normalisation that ours has inside."""

    def __init__(self):
        super().__init__()
        self.model = swin3d_t(num_classes=CLASSES)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits of clips (B, 3, T, H, W) in bytes."""
        return self.model(normalize(clips.transpose(1, 2), torch.float32).transpose(1, 2))


def their_model() -> nn.Module:
    """The peer, with random weights."""
    return Normalized()


def our_model() -> nn.Module:
    """Ours of the same size, with random weights."""
    backbone = BackboneConfig(NAME, window_size=WINDOW, drop_path_rate=DROP_PATH)
    return VideoClassifier(backbone, CLASSES, dropout=0.0)


def describe(work: str, frames: int, side: int) -> str:
    """A row's name."""
    return f"{work}, {frames} x {side} x {side}"


if __name__ == "__main__":
    main()
