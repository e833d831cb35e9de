"""The base of `swinv2 TASK fit | validate | predict`: LightningCLI with run folders, checkpoints and short messages."""

import argparse
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint, ModelSummary, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from ..training.callbacks.engine_report import EngineReport
from ..training.callbacks.health import FiniteTraining
from ..training.callbacks.memory_report import MemoryReport
from ..training.callbacks.parameter_summary import ParameterSummary
from ..training.callbacks.progress_lines import ProgressLines
from ..training.checks import read_classes
from ..training.runs.checkpoint_content import CHANGED, is_restoring
from ..training.runs.checkpointing import LastCheckpoint, WholeFiles
from ..training.runs.loggers import Board, MetricsTable, quiet_writers
from ..training.runs.resuming import ResumedOptimizer
from ..training.runs.run_folder import KeptRuns, claim_version, find_checkpoint
from ..training.samplers import SeededEpochs
from .parse_errors import CAUSE, check_filled, constructible, explain, recipes
from .recipe_files import WrongRecipeError, check_recipes
from .recipes import find_companions, with_files
from .trainer_settings import check_numbers, check_settings
from .trusted_code import OPTION, limit_code

log = logging.getLogger(__name__)

NOISE = re.compile(  # what libraries say that nobody can act on
    "(?s).*(Tip:|TPU available|does not have many workers|exists and is not empty|TypedStorage is deprecated"
    "|The number of training batches .* is smaller than the logging interval"
    "|is not supported by the model summary|Trainer already configured with model summary"
    "|Seed set to"
    "|It is recommended to use `self.log"
    "|You're using the WeightAveraging callback, but"
    "|your dataloader is not resumable"  # ours are
    "|An SIGTERMException was raised"
    "|predict returned None|treespec, LeafSpec|JsonargparseDeprecationWarning|was deprecated in v4)"
)
MEANT = {"train": "fit", "test": "validate", "eval": "validate", "infer": "predict"}  # commands of other projects


def run(
    task: type[LightningModule],
    data: type[LightningDataModule],
    args: Sequence[str],
    name: str,
    monitor: str,
    complete: Callable[[Namespace], None],
    mode: Literal["max", "min"] = "max",
) -> None:
    """Run one command of a task: fit, validate, predict or plan.

    Args:
        task: the LightningModule; its constructor is the `model` part of a recipe.
        data: the LightningDataModule; its constructor is the `data` part.
        args: command line after the name of the task, e.g. ["fit", "--config", "recipe.yaml"].
        name: of the task, e.g. "detection"; runs are kept in runs/NAME/RECIPE.
        monitor: metric by which the best checkpoint is chosen, e.g. "mask/AP".
        complete: fills in what a recipe leaves open because the data or the checkpoint knows it, before the model is
            built.
        mode: "max" if the metric is the better the higher, "min" for a loss.

    Raises:
        ValueError: options of the trainer that contradict each other.
        SystemExit: with code 2, after a short message, if the recipe or an option is wrong.
        KeyboardInterrupt: stopped by Ctrl-C, and nothing was saved.
    """
    for speaker in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
        logging.getLogger(speaker).addFilter(_is_wanted)
    with warnings.catch_warnings(), quiet_writers():
        warnings.filterwarnings("ignore", NOISE.pattern)
        try:
            args = with_files(limit_code(args), name)
            if args[:1] == ["plan"]:
                cli = import_module(".plan", __package__).PlanCLI
                args = ["fit", *args[1:]]
            else:
                cli = TaskCLI
            cli(task, data, args, name, monitor, complete, mode)
        except WrongRecipeError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        except (MisconfigurationException, ValueError) as error:
            cause = CAUSE.search(str(error))
            raise ValueError(cause[1] if cause else str(error)) from error
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError) as error:
            if is_restoring(error):
                raise ValueError(f"The checkpoint cannot be taken over ({error!r:.200}): {CHANGED}") from error
            raise
        except SystemExit as end:
            if isinstance(end.__context__, KeyboardInterrupt):  # which the trainer takes for an error
                raise KeyboardInterrupt from None
            raise


def start_from_checkpoint(config: Namespace) -> None:
    """Take the number of classes from the checkpoint, if there is one, and leave out the weights to start from.

    Args:
        config: of one command, changed in place.

    Raises:
        ValueError: it is no checkpoint of such a task.
    """
    if config.ckpt_path is None:
        return
    model = config.model.model.init_args
    config.model.weights = None
    if "backbone" in model:
        model.backbone.weights = None
    if Path(config.ckpt_path).is_file():  # a sharded one is a folder
        classes = read_classes(config.ckpt_path)
        if "num_classes" in model and model.num_classes is None:
            model.num_classes = len(classes)


class TaskCLI(LightningCLI):
    """LightningCLI with a folder per recipe, a best and a last checkpoint, and short messages.

    Beside Lightning's keys a recipe has `best_checkpoint` and `last_checkpoint`, the arguments of two ModelCheckpoints,
    and `health`, those of `FiniteTraining`. Training that is asked to end (SIGTERM or Ctrl-C) finishes and saves its
    step, unless `last_checkpoint.save_on_exception` is false.
    `--ckpt_path` takes a file, "last" or "best", which is what validate and predict take by themselves.

    Args:
        task: the LightningModule.
        data: the LightningDataModule.
        args: command line after the name of the task.
        name: of the task.
        monitor: metric of the best checkpoint.
        complete: fills in what a recipe leaves open.
        mode: "max" if the metric is the better the higher, "min" for a loss.
    """

    def __init__(
        self,
        task: type[LightningModule],
        data: type[LightningDataModule],
        args: Sequence[str],
        name: str,
        monitor: str,
        complete: Callable[[Namespace], None],
        mode: Literal["max", "min"],
    ):
        self.name = name
        self.monitor, self.mode = monitor, mode
        self.complete = complete
        self.classes = (task, data)
        raising: dict[str, Any] = {"exit_on_error": False}
        super().__init__(
            task,
            data,
            args=list(args),
            parser_kwargs={"prog": f"swinv2 {name}", **raising, **dict.fromkeys(self.subcommands(), raising)},
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's commands, without test."""
        return {command: skip for command, skip in LightningCLI.subcommands().items() if command != "test"}

    def setup_parser(self, *args: Any) -> None:
        """Validate and predict take the best checkpoint if told nothing else."""
        super().setup_parser(*args)
        self._subcommand_parsers["validate"].set_defaults({"ckpt_path": "best", "verbose": False})
        self._subcommand_parsers["predict"].set_defaults({"ckpt_path": "best", "return_predictions": False})
        for subparser in self._subcommand_parsers.values():
            subparser.epilog = f"{OPTION} MODULE lets the recipe name classes of another module (docs/security.md)."

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the two checkpoints, which a recipe may change."""
        best = {"filename": "best", "monitor": self.monitor, "mode": self.mode, "enable_version_counter": False}
        last = {
            "filename": "last", "save_on_train_epoch_end": True, "save_on_exception": True,
            "enable_version_counter": False,
        }  # fmt: skip
        groups: list[tuple[str, type[ModelCheckpoint], dict[str, Any]]]
        groups = [("best_checkpoint", ModelCheckpoint, best), ("last_checkpoint", LastCheckpoint, last)]
        for group, kind, defaults in groups:
            parser.add_lightning_class_args(kind, group)
            parser.set_defaults({f"{group}.{key}": value for key, value in defaults.items()})
        parser.add_lightning_class_args(FiniteTraining, "health")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, or leave with a short message and code 2."""
        try:
            if args and args[0] in self._subcommand_parsers:
                check_recipes(recipes(args))
            self.config = parser.parse_args(args)
            config = self.config[self.config.subcommand]
            check_filled(config, dict(zip(("model", "data"), self.classes, strict=True)), args)
            check_numbers(config)
            check_settings(config, self.config.subcommand)
            find_companions(config)
        except (argparse.ArgumentError, WrongRecipeError) as error:
            print(f"error: {self._explain(error, args)}", file=sys.stderr)
            raise SystemExit(2) from None

    def _explain(self, error: Exception, args: Sequence[str]) -> str:
        parser = self._subcommand_parsers.get(args[0] if args else "")
        if parser is None:
            given, commands = args[0] if args else "nothing", self.subcommands()
            near = [MEANT[given]] if given in MEANT else get_close_matches(given, commands, n=1)
            meant = f"; did you mean '{near[0]}'?" if near else ""
            return f"expected a command first ({', '.join(commands)}), got {given}{meant}"
        text = str(error)
        if not isinstance(error, WrongRecipeError):
            options = re.findall(r"--([\w.]+)", parser.format_help())
            text = explain(text, args, options, constructible(*self.classes))
        return f"{text}\n  all options: swinv2 {self.name} {args[0]} --help"

    def _parse_ckpt_path(self) -> None:
        """Lightning lets a checkpoint overrule the command line here; what the user types shall hold."""

    def before_instantiate_classes(self) -> None:
        """Set the run folder (default: runs/TASK/RECIPE), that of checkpoints, and the file of `--ckpt_path`."""
        config = self.config[self.subcommand]
        recipe = Path(str(config.config[-1])).stem if config.config else "default"
        folder = Path(config.trainer.default_root_dir or f"runs/{self.name}/{recipe}")
        config.trainer.default_root_dir = str(folder)
        for group in (config.best_checkpoint, config.last_checkpoint):
            group.dirpath = group.dirpath or str(folder / "checkpoints")
        places = {"best": Path(config.best_checkpoint.dirpath), "last": Path(config.last_checkpoint.dirpath)}
        if self.subcommand != "fit":
            self.save_config_callback = None
        elif config.ckpt_path == "last" and not (places["last"] / "last.ckpt").exists():
            log.warning("There is no %s to go on from: starting anew.", places["last"] / "last.ckpt")
            config.ckpt_path = None
        if config.ckpt_path is not None:
            config.ckpt_path = str(find_checkpoint(config.ckpt_path, places))
        if self.subcommand == "fit":
            self._settle_validation(config)
        self.complete(config)

    def _settle_validation(self, config: Namespace) -> None:
        """A training without validation has neither data for it nor a metric: the best checkpoint is the latest."""
        keys = getattr(self.classes[1], "validation_keys", ())
        if keys and config.trainer.limit_val_batches == 0:
            for key in keys:
                config.data[key] = None
        if any(config.data[key] is None for key in keys):
            config.trainer.limit_val_batches = 0
            config.best_checkpoint.monitor, config.best_checkpoint.mode = "epoch", "max"

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Log while training, in a folder of its own for each start, unless the recipe has other loggers."""
        trainer = self.config[self.subcommand].trainer
        fits = self.subcommand == "fit"
        if trainer.logger in (None, True):
            folder = Path(trainer.default_root_dir)
            version = claim_version(folder) if fits and not trainer.fast_dev_run else 0
            kwargs["logger"] = fits and [logger(folder, "", version) for logger in (Board, MetricsTable)]
        if trainer.plugins is None:
            kwargs["plugins"] = [WholeFiles()]
        if trainer.enable_checkpointing is False:
            self._parser(self.subcommand).callback_keys.clear()
        given = MemoryReport(dict(self.config[self.subcommand].items()))
        self.trainer_defaults["callbacks"] = [EngineReport(), given, *self._reports()]
        if fits:
            rates = [] if trainer.logger is False else [LearningRateMonitor()]
            config = self.config[self.subcommand]
            places = {Path(group.dirpath) for group in (config.best_checkpoint, config.last_checkpoint)}
            self.trainer_defaults["callbacks"] += [SeededEpochs(), ResumedOptimizer(), KeptRuns(places), *rates]
        return super().instantiate_trainer(**kwargs)

    def _reports(self) -> Iterator[Callback]:
        """What says size and progress, where the recipe neither has such callbacks nor wants none."""
        trainer = self.config_init[self.subcommand].trainer
        given = trainer.callbacks if isinstance(trainer.callbacks, list) else [trainer.callbacks]
        if trainer.enable_model_summary is not False and not any(isinstance(one, ModelSummary) for one in given):
            yield ParameterSummary()
        bar = trainer.enable_progress_bar is not False and not any(isinstance(one, ProgressBar) for one in given)
        if bar and not sys.stdout.isatty():
            yield ProgressLines()


def _is_wanted(record: logging.LogRecord) -> bool:
    return not NOISE.match(record.getMessage())
