"""Whose code a recipe may name: a recipe is code, as what it names is imported and called."""

from collections.abc import Sequence

from jsonargparse import set_parsing_settings

from .recipe_files import WrongRecipeError

OPTION = "--allow"
TRUSTED = ("swinv2", "detection", "segmentation", "video", "torch", "torchvision", "lightning", "torchmetrics")
DENIED = (  # parts of them that read or run what is elsewhere
    "*",
    "torch.hub",
    "torch.load",
    "torch.package",
    "torch.serialization",
    "torch.utils.cpp_extension",
)


def limit_code(args: Sequence[str]) -> list[str]:
    """Let recipes name only code of this project, of torch and of Lightning, and what `--allow MODULE` adds.

    The parser refuses other modules before it imports them.

    Args:
        args: the command line; `--allow` counts on it alone, so that no recipe allows itself.

    Returns:
        It without `--allow`.

    Raises:
        WrongRecipeError: no name of a module stands behind it.
    """
    rest, allowed = [], []
    words = iter(args)
    for word in words:
        option, _, value = word.partition("=")
        if option != OPTION:
            rest.append(word)
            continue
        name = value or next(words, "")
        if not all(part.isidentifier() for part in name.split(".")) or name.split(".")[0] == "jsonargparse":
            raise WrongRecipeError(
                f"{OPTION} takes the name of a module that recipes may use, e.g. my_project, got '{name}'"
            )
        allowed.append(name)
    set_parsing_settings(
        import_path_denylist=[*DENIED],
        import_path_allowlist=[*TRUSTED, *allowed],
        instantiate_subclass_spec_in_any=False,
    )
    return rest
