"""Memory of a training step and of inference beside timm, transformers and torchvision: `python -m benchmarks.memory`.

Each peak is that of a process of its own.
"""

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

import swinv2
from benchmarks.comparison import TINY8, TINY16
from benchmarks.peers import EAGER, VERSIONS, Work, having, our_model, peer
from benchmarks.process import in_process, numbers_in_process, peak
from benchmarks.results import keep
from benchmarks.timing import machine, medians, ratio, table
from benchmarks.training import POLICIES, kept, step

RESULT = Path(__file__).with_suffix(".md")
TRAINED = {
    "T-w8-256, batch 8": Work(TINY8, 8, 8, 256, 256),
    "T-w16-1024, batch 1": Work(TINY16, 16, 1, 1024, 1024),
}
INFERRED = {
    "T-w16-1024 inference": Work(TINY16, 16, 1, 1024, 1024),
    "T-w16-2048 inference": Work(TINY16, 16, 1, 2048, 2048),
}
GOALS = {"ours": (0.50, 0.33), "ours, checkpointing": (0.12, 0.08)}  # what is kept, in multiples of the best peer's
SLOWER = 1.25  # goal: a step with recomputation in multiples of our own fastest
ABOUT = f"""\
A step is the forward pass, the mean cross-entropy and the backward pass, in float32, the same random weights in all;
with `checkpointing` ours computes blocks again in the backward pass. Kept are the tensors that the graph holds between
the two passes, each storage once, without weights and images. Peaks are resident memory of a process of its own above
that with the model just built; in training they include the gradients of the weights. Goal of the last column:
{SLOWER}; our steps take turns, medians of {{rounds}} rounds. Inference is in `torch.inference_mode`, ours after
`swinv2.optimize_for_inference`.
"""


def main() -> None:
    """Measure what is asked for, print the tables and write them beside this file."""
    works = TRAINED | INFERRED
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", metavar="ROW", choices=works, help=f"some of {', '.join(works)}")
    parser.add_argument("--rounds", type=int, default=3, help="how often each of our steps is timed")
    parser.add_argument("--peak", nargs=2, metavar=("WHOSE", "ROW"), help=argparse.SUPPRESS)  # by itself
    options = parser.parse_args()
    if options.peak:
        whose, row = options.peak
        print(*(of_step if row in TRAINED else of_inference)(whose, works[row]))
        return
    for row in options.rows or works:
        new = training(row, options.rounds) if row in TRAINED else inference(row)
        print(row, new, flush=True)
        text = report(keep("memory", {row: new}))
        RESULT.write_text(text)  # after each row, as they take minutes
    print(text)


def training(row: str, rounds: int) -> dict[str, Any]:
    """MiB kept, GiB at most, and seconds of our steps."""
    models = {name: our_model(TRAINED[row], policy) for name, policy in POLICIES.items()}
    images = TRAINED[row].images()
    seconds = medians({name: partial(step, model, images, False) for name, model in models.items()}, rounds)
    del models, images
    whose = [*having(TRAINED[row]), *POLICIES]
    memory = {name: numbers_in_process("benchmarks.memory", "--peak", name, row) for name in whose}
    return {"memory": memory, "seconds": seconds, "rounds": rounds}


def inference(row: str) -> dict[str, float]:
    """GiB at most, of each project."""
    return {name: in_process("benchmarks.memory", "--peak", name, row) for name in (*having(INFERRED[row]), "ours")}


def of_step(whose: str, work: Work) -> tuple[float, float]:
    """MiB kept for the backward pass, and largest resident memory of a step, GiB above that before."""
    model = (our_model(work, POLICIES[whose]) if whose in POLICIES else peer(whose, work)).train()
    images = work.images()
    most = peak(lambda: step(model, images, False))
    return kept(model, images, False), most


def of_inference(whose: str, work: Work) -> tuple[float]:
    """Largest resident memory of a forward pass, GiB above that before."""
    model = swinv2.optimize_for_inference(our_model(work)) if whose == "ours" else peer(whose, work).eval()
    images = work.images()
    return (peak(torch.inference_mode()(lambda: model(images))),)


def report(found: Mapping[str, Any]) -> str:
    """Both tables as Markdown.

    Args:
        found: what was measured, by name of the row.
    """
    steps = [line for i, row in enumerate(TRAINED) if row in found for line in lines_of(row, found[row], i)]
    header = ["", "whose", "kept, MiB", "kept / best peer's", "peak, GiB", "peak / best peer's", "time / our fastest"]
    rows = [row for row in INFERRED if row in found]
    peaks = [
        [row, *(f"{found[row][one]:.2f}" for one in ("timm", "transformers", "ours")), ratio(found[row]["ours"], best)]
        for row in rows
        for best in [min(found[row][one] for one in EAGER if one in found[row])]
    ]
    rounds = " or ".join(sorted({str(found[row]["rounds"]) for row in TRAINED if row in found}))
    return (
        f"# Memory of a training step\n\n{table(header, steps)}\n\n# Peak memory of inference, GiB\n\n"
        f"{table(['', 'timm', 'transformers', 'ours', 'ours / best peer'], peaks)}\n\n"
        f"{machine()},\n{VERSIONS}. `python -m benchmarks.memory`.\n\n{ABOUT.format(rounds=rounds)}"
    )


def lines_of(row: str, found: Mapping[str, Any], place: int) -> list[list[str]]:
    """A line of the table for each model.

    Args:
        row: its name.
        found: what was measured.
        place: of the row's goal.
    """
    memory, seconds = found["memory"], found["seconds"]
    fastest, best = min(seconds.values()), [min(memory[one][i] for one in EAGER if one in memory) for i in range(2)]
    return [
        [
            row,
            whose,
            f"{held:.0f}",
            ratio(held, best[0], GOALS[whose][place] if whose in GOALS else None),
            f"{most:.2f}",
            ratio(most, best[1]),
            ratio(seconds[whose], fastest) if whose in seconds else "–",
        ]
        for whose, (held, most) in memory.items()
    ]


if __name__ == "__main__":
    main()
