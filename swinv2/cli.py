"""The `swinv2` command; each subcommand is imported only when it runs."""

import argparse
import os
import select
import signal
import sys
import threading
from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from .commands.first_process import end_with_starter
from .commands.tasks import TASKS
from .error_reports import describe

Commands = argparse._SubParsersAction  # the type has no public name
CONVERTERS = dict.fromkeys(("detectron2", "ours"), "detection.detectron2_weights")  # that know whole detectors

EXAMPLES = """
examples:
  swinv2 models 'swinv2_tiny*'
  swinv2 shapes data/shapes
  swinv2 recipes 'detection/*'
  swinv2 plan detection/mask_rcnn_swinv2_tiny_coco --trainer.devices 8
  swinv2 detection fit --config detection/quickstart
  swinv2 detection validate --config detection/quickstart
  swinv2 detection predict --config detection/quickstart --data.images photo.jpg
  swinv2 convert model.safetensors swinv2_tiny_timm.safetensors --to timm

Add --help to any command. SWINV2_DEBUG=1 in front of it shows the whole traceback of an error; what looks like a
fault of swinv2 is best reported with it and with the output of swinv2 doctor.
"""


def main(args: Sequence[str] | None = None) -> int:
    """Run a command; errors are printed as one message, not a traceback, and bugs of swinv2 with a request to report.

    Args:
        args: command line; that of the process if None.

    Returns:
        Exit code: 0, 1 for an error, 130 if stopped by Ctrl-C, 141 for a closed pipe; argparse exits with 2.
    """
    try:
        try:
            return _run(sys.argv[1:] if args is None else list(args))
        finally:
            print(end="", flush=True)  # what Python would write at its end, and complain
    except BrokenPipeError:  # of `swinv2 models | head`
        if not _nobody_reads():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what Python still has to write there
        return 141


def _run(args: list[str]) -> int:
    """`main`, but that a broken pipe of the standard output is raised."""
    try:
        if args and args[0] in TASKS:
            task = _import(TASKS[args[0]][0])
            end_with_starter()
            task.main(args[1:])
        else:
            parser, commands = _parser()
            if args and not args[0].startswith("-") and args[0] not in commands.choices:
                near = get_close_matches(args[0], commands.choices, n=1, cutoff=0.0)[0]
                parser.error(f"there is no command '{args[0]}'; did you mean '{near}'? --help lists all")
            options = vars(parser.parse_args(args))
            return options.pop("run")(**options) or 0
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get("SWINV2_DEBUG") or (isinstance(error, BrokenPipeError) and _nobody_reads()):
            raise
        print(f"error: {describe(error)}", file=sys.stderr)
        return 1
    return 0


def _nobody_reads() -> bool:
    """Whether the standard output is a pipe whose reader has ended; other pipes break, too."""
    if not hasattr(select, "poll"):  # Windows
        return True
    poll = select.poll()
    poll.register(1, 0)  # errors are always told
    return bool(poll.poll(0))


def _import(module: str) -> Any:
    """Import a module; Ctrl-C ends the process at once, since some libraries misread an interrupted import."""
    if threading.current_thread() is not threading.main_thread():
        return import_module(module)
    before = signal.signal(signal.SIGINT, _stop_at_once)
    try:
        return import_module(module)
    finally:
        signal.signal(signal.SIGINT, before)


def _stop_at_once(*_: object) -> None:
    os.write(2, b"Stopped.\n")
    os._exit(130)


def _models(pattern: str) -> None:
    variants = _import("swinv2.variants")
    if not variants.list_models(pattern):
        near = get_close_matches(pattern, variants.VARIANTS, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"no model's name matches '{pattern}'; give one such as {near}, or a pattern such as '*base*'."
        )
    print(_import("swinv2.commands.models").models_table(pattern))


def _convert(source: str, out: Path, to: str) -> None:
    _import(CONVERTERS.get(to, "swinv2.weights")).convert(source, out, to)
    print(f"wrote {out}")


def _recipes(pattern: str) -> None:
    print(_import("swinv2.commands.recipes").recipes_table(pattern))


def _doctor(device: str | None, train: float | None) -> int:
    return 0 if _import("swinv2.commands.doctor.report").report(device, train) else 1


def _shapes(root: Path, **options: Any) -> None:
    print(f"sample data is in {_import('swinv2.shapes').write_shapes(root, **options)}")


def _parser() -> tuple[argparse.ArgumentParser, Commands]:
    parser = argparse.ArgumentParser(
        prog="swinv2",
        usage="swinv2 COMMAND [options]",
        description="Swin Transformer V2: one backbone for detection, segmentation, video and classification.",
        epilog=EXAMPLES,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=24, width=100),
    )
    parser.add_argument("--version", action="version", version=f"swinv2 {metadata.version('swinv2')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND [options]", required=True)
    _add_models(commands)
    _add_recipes(commands)
    _add_convert(commands)
    _add_shapes(commands)
    _add_doctor(commands)
    for task, (_, summary) in TASKS.items():
        commands.add_parser(task, help=summary)
    return parser, commands


def _add_models(commands: Commands) -> None:
    summary = "print the table of models: parameters, multiply-adds, windows, accuracy"
    parser = commands.add_parser("models", help=summary, description=summary)
    parser.add_argument("pattern", nargs="?", default="*", help="which models, e.g. 'swinv2_tiny*'")
    parser.set_defaults(run=_models)


def _add_recipes(commands: Commands) -> None:
    summary = "print the names of the recipes that come with swinv2, and what each reproduces"
    parser = commands.add_parser("recipes", help=summary, description=summary)
    parser.add_argument("pattern", nargs="?", default="*", help="which recipes, e.g. 'detection/*'")
    parser.set_defaults(run=_recipes)


def _add_convert(commands: Commands) -> None:
    summary = "write weights in the layout of another library"
    parser = commands.add_parser("convert", help=summary, description=summary)
    parser.add_argument("source", metavar="IN", help="checkpoint in any known layout: a file, a URL or a name")
    parser.add_argument("out", metavar="OUT", type=Path, help="file to write, .safetensors or .pth")
    layouts = "official, timm, torchvision, hf, mmpretrain or detectron2; ours, for a detector from detectron2"
    parser.add_argument("--to", required=True, metavar="LAYOUT", help=layouts)
    parser.set_defaults(run=_convert)


def _add_shapes(commands: Commands) -> None:
    summary = "make sample data for every task, in the real formats"
    parser = commands.add_parser("shapes", help=summary, description=summary, argument_default=argparse.SUPPRESS)
    parser.add_argument("root", metavar="OUT", type=Path, help="folder to make, e.g. data/shapes")
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="only these tasks, e.g. detection")
    parser.add_argument("--train", type=int, metavar="N", help="pictures or clips to learn from, each task")
    parser.add_argument("--val", type=int, metavar="N", help="pictures or clips to be scored on, each task")
    parser.add_argument("--size", type=int, metavar="N", help="side of the square pictures in pixels")
    parser.add_argument("--seed", type=int, metavar="N", help="other seeds make other data")
    parser.set_defaults(run=_shapes)


def _add_doctor(commands: Commands) -> None:
    summary = "check this machine: versions, cards, compiler, decoders, and what computes on each device"
    end = "It prints text for a report, without names and paths of yours, and exits with 1 if something is wrong."
    parser = commands.add_parser("doctor", help=summary, description=f"{summary}. {end}")
    parser.add_argument("--device", metavar="DEVICE", help="check this one alone, e.g. cpu or cuda:1")
    length = "train each quickstart, too, for so many seconds at most (120), on the last device or that of --device"
    parser.add_argument("--train", type=float, nargs="?", const=120.0, metavar="SECONDS", help=length)
    parser.set_defaults(run=_doctor)
