"""What a recipe's file must be before its keys are looked at: a text of YAML that has each key once."""

from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # its types are a package of their own

MOST_BYTES = 1 << 20
MOST_VALUES = 100_000
EXAMPLE = "trainer: {max_epochs: 12}"
GREATEST = 2**63
MERGE = "tag:yaml.org,2002:merge"  # of <<, which may come several times


class WrongRecipeError(ValueError):
    """What is wrong with a recipe, or with the options that change it."""


def check_recipes(paths: Sequence[Path]) -> None:
    """See that files can be recipes; what is wrong with their YAML the parser says.

    Args:
        paths: files.

    Raises:
        WrongRecipeError: one is no text in UTF-8, holds no keys, or has a key twice, of which the first would be lost.
    """
    for path in paths:
        if not path.is_file():
            continue  # the parser says so
        if path.stat().st_size > MOST_BYTES:
            raise WrongRecipeError(f"{path} has {path.stat().st_size:,} bytes; no recipe is that large")
        try:
            root = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
        except UnicodeDecodeError as error:
            raise WrongRecipeError(
                f"the recipe {path} is no text in UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x}); "
                "give a YAML file, or save it anew as UTF-8"
            ) from None
        except (yaml.YAMLError, RecursionError):
            continue
        if not isinstance(root, yaml.MappingNode):
            given = "is empty" if root is None else f"holds a {'list' if root.id == 'sequence' else 'text'}, no keys"
            raise WrongRecipeError(f"the recipe {path} {given}; write keys and values, e.g. {EXAMPLE}")
        if expanded(root, {}) > MOST_VALUES:
            raise WrongRecipeError(
                f"the recipe {path} repeats itself by aliases (*) to more than {MOST_VALUES:,} values"
            )
        check_values(path, root)
        if twice := next(repeated(root), None):
            first, second = twice
            raise WrongRecipeError(
                f"the recipe {path} has the key '{first.value}' twice, in line {first.start_mark.line + 1} and in line "
                f"{second.start_mark.line + 1}, and only the second would count; put both together"
            )


def check_values(path: Path, root: yaml.Node) -> None:
    """See that single values are what their form or tag says; of a tag that there is not the parser tells.

    Args:
        path: of the recipe, for the message.
        root: of its YAML.

    Raises:
        WrongRecipeError: one is not, or is an integer that 64 bits do not hold.
    """
    loader = yaml.SafeLoader("")
    for node in (node for node in nodes_in(root) if isinstance(node, yaml.ScalarNode)):
        given = f"the recipe {path} has {node.value:.40} in line {node.start_mark.line + 1}"
        try:
            value = loader.construct_object(node)
        except yaml.YAMLError:
            continue
        except Exception as error:  # whatever the constructor of a kind raises
            kind = node.tag.rpartition(":")[2]
            raise WrongRecipeError(f"{given}, which is no {kind}, as it is written or tagged (!!): {error}") from None
        if isinstance(value, int) and abs(value) >= GREATEST:
            raise WrongRecipeError(f"{given}; integers must be below 2**63")


def expanded(node: yaml.Node, known: dict[int, float]) -> float:
    """Number of values in a YAML node with each alias written out; infinite if the node contains itself.

    Args:
        node: of YAML.
        known: cache of results, by the `id` of the node.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1.0
    if id(node) not in known:
        known[id(node)] = inf  # until it is counted
        parts = sum(node.value, ()) if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1.0 + sum(expanded(part, known) for part in parts)
    return known[id(node)]


def repeated(root: yaml.Node) -> Iterator[tuple[yaml.ScalarNode, yaml.ScalarNode]]:
    """Keys that come twice in one mapping.

    Args:
        root: a mapping, a list or a value.
    """
    for node in (node for node in nodes_in(root) if isinstance(node, yaml.MappingNode)):
        keys: dict[str, yaml.ScalarNode] = {}
        for key, _ in node.value:
            named = isinstance(key, yaml.ScalarNode) and key.tag != MERGE
            if named and keys.setdefault(key.value, key) is not key:
                yield keys[key.value], key


def nodes_in(root: yaml.Node) -> Iterator[yaml.Node]:
    """All nodes but keys, from the top; each once, as a node can stand in several places, even in itself.

    Args:
        root: a mapping, a list or a value.
    """
    nodes, seen = [root], set()
    while nodes:
        node = nodes.pop(0)
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            nodes += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value
