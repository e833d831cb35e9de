"""Recipes that come with swinv2: their names, what they reproduce, and the file that a name stands for."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatch
from itertools import takewhile
from pathlib import Path

from jsonargparse import Namespace

from .recipe_files import WrongRecipeError

PACKAGE = Path(__file__).parents[1]
CHECKOUT = "configs"  # the folder's name in the repository, and so in the README
INSTALLED = PACKAGE / "recipes"  # which setup.py fills
FOLDER = INSTALLED if INSTALLED.is_dir() else PACKAGE.parent / CHECKOUT
OPTION = re.compile(r"(?:--config|-c)=(.*)", re.DOTALL)
INLINE = re.compile(r"[:{\n]")  # in a value of --config that is a recipe's text instead of its name
DETAIL = re.compile(r": |\. | \([^)]*(?:arXiv|authors)|\.$")  # what follows the short form of a recipe's first sentence


def list_recipes(pattern: str = "*") -> dict[str, Path]:
    """Recipes whose names match a shell pattern, e.g. "detection/*"; names of detectron2's have their suffix.

    Raises:
        FileNotFoundError: swinv2 was copied without its recipes.
    """
    if not FOLDER.is_dir():
        raise FileNotFoundError(
            f"there is no folder {FOLDER} of recipes; install swinv2 by pip, or copy {CHECKOUT}/, too."
        )
    files = (path for path in sorted(FOLDER.glob("*/*")) if path.suffix in (".yaml", ".yml", ".py"))
    recipes = (path for path in files if f"swinv2 {path.parent.name} " in path.read_text(encoding="utf-8"))
    named = {path.relative_to(FOLDER).as_posix().removesuffix(".yaml"): path for path in recipes}
    return {name: path for name, path in named.items() if fnmatch(name, pattern)}


def recipes_table(pattern: str = "*") -> str:
    """What is reproduced by the recipes whose names match a shell pattern, a line for each.

    Raises:
        ValueError: none does.
    """
    if not (found := list_recipes(pattern)):
        near = get_close_matches(pattern, list_recipes(), n=1, cutoff=0.0)[0]
        raise ValueError(
            f"no recipe's name matches '{pattern}'; give one such as {near}, or a pattern such as '*tiny*'."
        )
    width = max(map(len, found))
    return "\n".join(f"{name:<{width}}  {reproduced(path)}" for name, path in found.items())


def reproduced(recipe: Path) -> str:
    """What a recipe reproduces: its first sentence, without sources and details."""
    lines = (line.strip('#" \n') for line in recipe.read_text(encoding="utf-8").splitlines())
    head = takewhile(lambda line: line and not line.startswith("swinv2 "), lines)
    return DETAIL.split(" ".join(head), maxsplit=1)[0]


def find_recipe(name: str, task: str = "*") -> Path:
    """The file of a recipe: one in the working folder, else one that comes with swinv2.

    Args:
        name: a path, or a name with or without `.yaml` and with or without `configs/` before it.
        task: whose recipes may have been meant if there is none of the name.

    Raises:
        WrongRecipeError: there is none; the message names the nearest.
    """
    own = Path(name).as_posix().removeprefix(f"{CHECKOUT}/")
    places = (Path(name), Path(f"{name}.yaml"), FOLDER / own, FOLDER / f"{own}.yaml")
    if found := next((path for path in places if path.is_file()), None):
        return found
    listed = list_recipes(f"{task}/*") or list_recipes()
    known = {Path(path).name: path for path in listed} | {path: path for path in listed}
    known |= {path.as_posix(): str(path) for path in Path(name).parent.glob("*.yaml")}
    near = known[get_close_matches(own, known, n=1, cutoff=0.0)[0]]
    raise WrongRecipeError(
        f"there is no recipe {name}: it is no file, and no name that `swinv2 recipes` lists\n  did you mean '{near}'?"
    )


def with_files(args: Sequence[str], task: str) -> list[str]:
    """A command line in which files stand for the names of recipes that it gives by --config.

    Args:
        args: the command line.
        task: that it is of.

    Raises:
        WrongRecipeError: there is no recipe of such a name.
    """
    words: list[str] = []
    for word in args:
        option = OPTION.fullmatch(word)
        name = word if words and words[-1] in ("--config", "-c") else option[1] if option else ""
        if name and not INLINE.search(name) and not Path(name).exists():
            word = word.removesuffix(name) + str(find_recipe(name, task))
        words.append(word)
    return words


def find_companions(config: Namespace) -> None:
    """Replace files beside the recipes, e.g. lists of classes, by those that come with swinv2 if there are none here.

    Args:
        config: of one command, changed in place.
    """
    for key, value in config.items():  # of all levels
        if isinstance(value, str | Path) and Path(value).parts[:1] == (CHECKOUT,) and not Path(value).exists():
            file = FOLDER / Path(value).relative_to(CHECKOUT)
            if file.is_file():
                config[key] = type(value)(file)
