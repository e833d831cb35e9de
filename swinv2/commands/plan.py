"""`swinv2 plan RECIPE`: what a training would be, without data, weights, memory or a GPU for it.

It prints parameters, multiply-adds of one input (of classifiers the whole model, else the backbone only), memory beside
activations, groups of the optimizer, batch, steps, epochs, and learning rates; `plan_report` works them out.
"""

import argparse
from collections.abc import Sequence
from importlib import import_module

import torch
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from .dataset_sizes import class_count, training_size
from .plan_report import describe
from .recipes import find_recipe
from .task import TaskCLI
from .tasks import TASKS, task_of
from .training_length import training_length

NOT_READ = ("weights", "class_map", "head_rows")  # of a task: files that only a training needs


def main(args: Sequence[str]) -> None:
    """Print the plan of a recipe.

    Args:
        args: the command line after `swinv2 plan`.

    Raises:
        ValueError: there is no such recipe, or it cannot be seen of which task it is.
    """
    parser = argparse.ArgumentParser(
        prog="swinv2 plan",
        usage="swinv2 plan RECIPE [--items N] [options]",
        description="Build a recipe without memory for its weights, and print parameters, multiply-adds, steps, epochs "
        "and schedule. Data that is not there is taken to be as large as published.",
        epilog="All other options are those of `swinv2 TASK fit`, e.g. --trainer.devices 8 --data.batch_size 64.",
        allow_abbrev=False,
    )
    parser.add_argument("recipe", metavar="RECIPE", help="a file or a name, e.g. detection/quickstart")
    parser.add_argument("--items", type=int, metavar="N", help="images or videos to train on, where data is missing")
    own, rest = parser.parse_known_args(args)
    recipe = find_recipe(own.recipe)
    items = [] if own.items is None else ["--items", str(own.items)]
    tasks = [name for name, (module, _) in TASKS.items() if module.endswith(".cli")]
    module, _ = TASKS[task_of(recipe, tasks, f"say it by `swinv2 TASK plan --config {own.recipe}`")]
    import_module(module).main(["plan", "--config", str(recipe), *items, *rest])


class PlanCLI(TaskCLI):
    """Takes what `fit` takes, and prints what it would do."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the number of items to those of fit."""
        super().add_arguments_to_parser(parser)
        parser.add_argument("--items", type=int | None, default=None, help="images or videos to train on")

    def before_instantiate_classes(self) -> None:
        """Leave out what would be read or made, and fill in the number of classes."""
        config = self.config[self.subcommand]
        config.ckpt_path = None
        for key in NOT_READ:
            if key in config.model:
                config.model[key] = None
        model = config.model.model.init_args
        model.backbone.weights = None
        if "num_classes" in model and model.num_classes is None:
            model.num_classes = self._count_classes(config)

    def _count_classes(self, config: Namespace) -> int | None:
        """As the data says, if it is there."""
        if config.data.shapes is None:
            try:
                self.complete(config)
                return config.model.model.init_args.num_classes
            except FileNotFoundError:
                pass
        return class_count(self.name, config.data)

    def instantiate_classes(self) -> None:
        """Build model and data, no trainer, and no memory for the weights."""
        with torch.device("meta"):
            self.config_init = self.parser.instantiate_classes(self.config)

    def _run_subcommand(self, subcommand: str) -> None:
        """Print the plan instead of training."""
        config, built = self.config[subcommand], self.config_init[subcommand]
        size = training_size(self.name, config.data, built.data, config["items"])
        length = training_length(config.trainer, built.data, size.items)
        print(describe(self.name, config, built.model, size, length))
