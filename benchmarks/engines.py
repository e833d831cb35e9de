"""The backbone in all its modes, beside another checkout: `python -m benchmarks.engines --before FOLDER`."""

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

import swinv2

HERE, RESULT = Path(__file__).parents[1], Path(__file__).with_suffix(".md")
SECONDS, MOST = 5.0, 60  # that a mode is timed for in a process, and calls, at least three
TINY8, TINY16, BASE24 = "swinv2_tiny_window8_256", "swinv2_tiny_window16_256", "swinv2_base_window12to24_192to384"
NOTE = """\
The four feature maps, float32, random weights; a step is the forward and the backward pass of the mean square of the
maps. Prepared is after `swinv2.optimize_for_inference`. Adapters are of rank 4, beside `qkv` and `proj` of every block;
a hook in each block sees `mlp.fc1`, one on each block the block. Each row and checkout in processes of its own, in
turns; the smallest time of all, and the largest resident memory above that with the model built.
"""


class Case(NamedTuple):
    """What is measured.

    Attributes:
        model: name of the model.
        shape: of the images.
        mode: of `MODES`.
    """

    model: str
    shape: tuple[int, int, int, int]
    mode: str


LARGE, SMALL = (8, 3, 256, 256), (1, 3, 224, 224)
CASES = {
    "T-w8, 8 x 256²": Case(TINY8, LARGE, "evaluation"),
    "T-w8, 8 x 256², prepared": Case(TINY8, LARGE, "prepared"),
    "T-w16, 8 x 256²": Case(TINY16, LARGE, "evaluation"),
    "T-w16, 8 x 256², prepared": Case(TINY16, LARGE, "prepared"),
    "B-w24, 384², prepared": Case(BASE24, (1, 3, 384, 384), "prepared"),
    "T-w8, 800 x 1216, prepared": Case(TINY8, (1, 3, 800, 1216), "prepared"),
    "T-w16, 800 x 1216, prepared": Case(TINY16, (1, 3, 800, 1216), "prepared"),
    "T-w8, 224², prepared": Case(TINY8, SMALL, "prepared"),
    "T-w8, 232², prepared": Case(TINY8, (1, 3, 232, 232), "prepared"),
    "T-w8, 256², prepared": Case(TINY8, (1, 3, 256, 256), "prepared"),
    "T-w16, 256², prepared": Case(TINY16, (1, 3, 256, 256), "prepared"),
    "T-w8, 224²": Case(TINY8, SMALL, "evaluation"),
    "T-w8, 8 x 256², adapters": Case(TINY8, LARGE, "adapters"),
    "T-w8, 8 x 256², a hook in each block": Case(TINY8, LARGE, "hook in each block"),
    "T-w8, 8 x 256², a hook on each block": Case(TINY8, LARGE, "hook on each block"),
    "T-w8, 8 x 256², autocast to bfloat16": Case(TINY8, LARGE, "autocast"),
    "T-w8, 8 x 256², step": Case(TINY8, LARGE, "step"),
    "T-w16, 8 x 256², step": Case(TINY16, LARGE, "step"),
    "T-w8, 8 x 256², step with checkpointing": Case(TINY8, LARGE, "step with checkpointing"),
    "T-w8, 8 x 256², step with adapters": Case(TINY8, LARGE, "step with adapters"),
    "T-w8, 8 x 256², step under autocast": Case(TINY8, LARGE, "step under autocast"),
    "T-w16, 1024², step": Case(TINY16, (1, 3, 1024, 1024), "step"),
    "T-w16, 2048², prepared": Case(TINY16, (1, 3, 2048, 2048), "prepared"),
}


class Adapted(nn.Module):
    """A linear layer with something of low rank beside it.

    Args:
        layer: the layer.
    """

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.layer, self.weight, self.bias = layer, layer.weight, layer.bias
        self.down = nn.Linear(layer.in_features, 4, bias=False)
        self.up = nn.Linear(4, layer.out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Both."""
        return self.layer(x) + self.up(self.down(x))


def main() -> None:
    """Measure, print the table and write it beside this file; with `--case`, one case of the code in PYTHONPATH."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="another checkout of this project")
    parser.add_argument("--rows", nargs="+", metavar="ROW", choices=CASES, default=list(CASES), help="some of the rows")
    parser.add_argument("--turns", type=int, default=3, help="how many processes each gets")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(CASES[options.case])))
        return
    from benchmarks.results import keep  # not in a process with another checkout, which may not have it

    folders = [*([options.before] if options.before else []), HERE]
    for row in options.rows:
        found: list[list[tuple[float, float]]] = [[] for _ in folders]
        for _ in range(options.turns):
            for folder, numbers in zip(folders, found, strict=True):
                numbers.append(in_checkout(folder.resolve(), row))
        best = [(min(seconds for seconds, _ in numbers), min(peak for _, peak in numbers)) for numbers in found]
        print(row, best, flush=True)
        RESULT.write_text(report(keep("engines", {row: best}), options.before))
    print(RESULT.read_text())


def report(found: dict[str, list[tuple[float, float]]], before: Path | None) -> str:
    """The table as Markdown.

    Args:
        found: seconds and GiB of each row and checkout.
        before: the other checkout.
    """
    from benchmarks.timing import machine, table

    rows = []
    for row in (name for name in CASES if name in found):
        (*old, new) = found[row]
        cells = [*(f"{1e3 * seconds:.1f}" for seconds, _ in (*old, new)), *(f"{peak:.2f}" for _, peak in (*old, new))]
        if old:
            cells = [*cells[:2], f"{new[0] / old[0][0]:.2f}", *cells[2:], f"{new[1] / max(old[0][1], 1e-3):.2f}"]
        rows.append([row, *cells])
    header, command = ["", "ms", "peak, GiB"], "python -m benchmarks.engines"
    if before:
        header = ["", "before, ms", "now, ms", "now / before", "before, GiB", "now, GiB", "now / before"]
        command = f"{command} --before {revision(before)}"
    return f"# The backbone in all its modes\n\n{table(header, rows)}\n\n{machine()}.\n`{command}`.\n{NOTE}"


def in_checkout(folder: Path, row: str) -> tuple[float, float]:
    """Seconds and GiB of a row, with the code of a checkout."""
    command = [sys.executable, "-P", "-W", "ignore", __file__, "--case", row]  # -P: not this file's siblings
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(folder)}, stdout=subprocess.PIPE, text=True, check=True
    )
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def revision(folder: Path) -> str:
    """Commit of a checkout."""
    done = subprocess.run(["git", "-C", folder, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True)
    return done.stdout.strip() or "FOLDER"


def measure(case: Case) -> tuple[float, float]:
    """Smallest seconds of a call, and GiB at most above those with the model built."""
    call = prepared(case)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call()
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    call()
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(times) < 3 or (time.perf_counter() < end and len(times) < MOST):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times), peak


def prepared(case: Case) -> Callable[[], object]:
    """What is timed."""
    torch.manual_seed(0)
    again = "checkpointing" in {
        field.name for field in dataclasses.fields(swinv2.BackboneConfig)
    }  # before 0.2.0 a word of recompute
    options = {"checkpointing": True} if again else {"recompute": "block"}
    model = swinv2.create_backbone(case.model, **(options if "checkpointing" in case.mode else {}))  # type: ignore[arg-type]
    blocks = [module for module in model.modules() if {"attn", "mlp", "norm1"} <= {*dict(module.named_children())}]
    for block in blocks:
        if "adapters" in case.mode:
            block.attn.qkv, block.attn.proj = Adapted(block.attn.qkv), Adapted(block.attn.proj)
        if case.mode == "hook in each block":
            block.mlp.fc1.register_forward_hook(lambda *_: None)
        if case.mode == "hook on each block":
            block.register_forward_hook(lambda *_: None)
    images, autocast = torch.randn(case.shape), torch.autocast("cpu", torch.bfloat16, enabled="autocast" in case.mode)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        with autocast:
            loss = torch.stack([features.float().square().mean() for features in model(images)]).sum()
        loss.backward()

    def evaluate() -> None:
        with torch.no_grad(), autocast:
            model(images)

    if case.mode.startswith("step"):
        return step
    model.eval()
    if case.mode == "prepared":
        swinv2.optimize_for_inference(model)
    return evaluate


if __name__ == "__main__":
    main()
