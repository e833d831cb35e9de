"""Forward pass of the backbone beside timm, with the same weights: `python -m benchmarks.backbone [--rounds 9]`."""

import argparse
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

import swinv2
from benchmarks.timing import machine, medians, table

RESULTS = Path(__file__).parent / "backbone.md"
WORKLOADS = [  # model, window, batch, height, width, whether features or logits
    ("swinv2_tiny_window8_256", 8, 8, 256, 256, False),
    ("swinv2_tiny_window16_256", 16, 8, 256, 256, False),
    ("swinv2_tiny_window16_256", 16, 1, 800, 1216, True),
]


def main() -> None:
    """Time all workloads, print the table and write it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="how often each model is called")
    rounds = parser.parse_args().rounds
    rows = [measure(*workload, rounds) for workload in WORKLOADS]
    peers = f"timm {metadata.version('timm')}"
    header = ["workload", f"{peers}, ms", "ours, ms", "ours / timm", "largest difference"]
    text = f"# Forward pass, float32, inference\n\n{table(header, rows)}\n\n{machine()}, medians of {rounds} rounds.\n"
    text += "`python -m benchmarks.backbone`. The difference is relative to timm's largest output;\n"
    text += "at 800 x 1216, timm pads to whole windows after the shift, which is another function at the borders.\n"
    print(text)
    RESULTS.write_text(text)


@torch.inference_mode()
def measure(name: str, window: int, batch: int, height: int, width: int, features: bool, rounds: int) -> list[str]:
    """One row of the table."""
    x = torch.randn(batch, 3, height, width)
    theirs, ours = with_features(name, window, height, width) if features else with_logits(name)
    expected, found = theirs(x), ours(x)
    same = "timm pads" if features else f"{(found - expected).abs().max() / expected.abs().max():.1e}"
    times = medians({"timm": lambda: theirs(x), "ours": lambda: ours(x)}, rounds)
    what = f"{name}, window {window}, {'features' if features else 'logits'} {batch} x {height} x {width}"
    ratio = times["ours"] / times["timm"]
    return [what, f"{1e3 * times['timm']:.0f}", f"{1e3 * times['ours']:.0f}", f"{ratio:.2f}", same]


def with_logits(name: str) -> tuple[nn.Module, nn.Module]:
    """Classifiers of timm and ours with the same random weights."""
    theirs = randomised(timm.create_model(name).eval())
    ours = swinv2.create_model(name).eval()
    swinv2.load_weights(ours, theirs.state_dict())
    return theirs, ours


def with_features(
    name: str, window: int, height: int, width: int
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Functions that give the coarsest feature map, computing all four, with the same random weights.

    At sizes that are not multiples of the window timm pads after the shift, so the two differ at the borders.
    """
    theirs = randomised(
        timm.create_model(name, features_only=True, img_size=(height, width), window_size=window).eval()
    )
    ours = swinv2.create_backbone(name, window_size=window).eval()
    swinv2.load_weights(ours, {k.replace("layers_", "layers."): v for k, v in theirs.state_dict().items()})
    ours.norm3 = nn.Identity()
    return lambda x: theirs(x)[-1].movedim(-1, 1), lambda x: ours(x)[-1]


def randomised(model: nn.Module) -> nn.Module:
    """Give every weight a value that matters; the branches of a new model are closed."""
    for name, parameter in model.named_parameters():
        if "logit_scale" not in name:
            scale = "norm" in name and name.endswith("weight")
            nn.init.normal_(parameter, 1.0 if scale else 0.0, 0.2 if parameter.ndim == 1 else 0.05)
    return model


if __name__ == "__main__":
    main()
