"""Recipes that are changed at random: run, or refused in a sentence; nothing in them is executed."""

import random
from pathlib import Path
from typing import Any

import yaml

from tests.odd.outcomes import LIMIT, try_all

CONFIGS = Path(__file__).parents[2] / "configs"
MARKER = "executed"
MEMORY = 12 << 30  # bytes of addresses, of which PyTorch reserves some
SHAPES = {"train": 4, "val": 2, "size": 32}
SMALL: dict[str, dict[str, Any]] = {  # of data that are drawn on the spot
    "classification": {"size": 32, "batch_size": 2},
    "simmim": {"size": 32, "batch_size": 2},
    "detection": {"short_edge": 32, "long_edge": 32, "batch_size": 2},
    "segmentation": {"crop_size": 32, "batch_size": 2},
    "video": {"frames": 4, "batch_size": 2},
}
TAGS = (
    f"!!python/object/apply:os.system ['touch {MARKER}']",
    f"!!python/object/new:subprocess.Popen [['touch', '{MARKER}']]",
    "!!python/name:os.system",
    "!unknown {a: 1}",
    "!!binary gAN9cQAu",
    "!!timestamp 2001-99-99",
)
CLASSES = (
    {"class_path": "os.system", "init_args": {"command": f"touch {MARKER}"}},
    {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", MARKER]}},
    {"class_path": "builtins.eval", "init_args": {"source": f"open('{MARKER}', 'w')"}},
    {"class_path": "torch.hub.load", "init_args": {"repo_or_dir": ".", "source": "local", "model": "x"}},
    {"class_path": "torch.utils.cpp_extension.load", "init_args": {"name": "x", "sources": "x.cpp"}},
    {"class_path": "stranger.Mine"},
    {"class_path": "Gone"},
    {"class_path": "lightning.pytorch.callbacks.Timer", "init_args": {"nothing": 1}},
    {"class_path": 5, "init_args": "x"},
)
NUMBERS = (
    ".nan",
    ".inf",
    "-.inf",
    "1e400",
    "1" + "0" * 400,
    str(2**64),
    "-1",
    "0",
    "2147483647",
    "0x7fffffffffffffff",
    "1_0",
)
VALUES = (
    None,
    True,
    "",
    "x",
    "é",
    "a: b",
    "~",
    "/dev/zero",
    "${HOME}",
    "x" * 5000,
    [],
    {},
    [[[]]],
    [1, 2],
    {"a": 1},
    3,
)


class Recipe:
    """The text of a recipe, and what was done to it."""

    def __init__(self, rng: random.Random) -> None:
        self.task = rng.choice([*SMALL])
        content = yaml.safe_load((CONFIGS / self.task / "quickstart.yaml").read_text())
        content["data"] |= SMALL[self.task] | {"shapes": {**SHAPES}, "root": f"data/{self.task}"}
        self.changes = [rng.choice([*CHANGES]) for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
        raw: dict[str, str] = {}
        for name in self.changes:
            CHANGES[name](content, rng, raw)
        text = yaml.safe_dump(content, allow_unicode=True)
        for place, written in raw.items():
            text = text.replace(place, written)
        self.data = text.encode()
        if "text" in self.changes:
            self.data = mangled(self.data, rng)

    def __repr__(self) -> str:
        return f"{self.task} {self.changes}\n{self.data.decode(errors='replace')}"


def leaf(content: Any, rng: random.Random) -> tuple[Any, Any]:
    """A mapping or list in a recipe, and the key of one of its parts."""
    parts = [(content, key) for key in content]
    for parent, key in parts:
        inner = parent[key]
        keys = inner if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else ()
        parts += [(inner, one) for one in keys]
    return rng.choice(parts)


def value(content: Any, rng: random.Random, raw: dict[str, str]) -> None:
    """Another value."""
    parent, key = leaf(content, rng)
    parent[key] = rng.choice(VALUES)


def written(texts: tuple[str, ...]) -> Any:
    """A value as YAML has it, which is put in at last."""

    def change(content: Any, rng: random.Random, raw: dict[str, str]) -> None:
        parent, key = leaf(content, rng)
        parent[key] = f"placeholder{len(raw)}"
        raw[parent[key]] = rng.choice(texts)

    return change


def class_path(content: Any, rng: random.Random, raw: dict[str, str]) -> None:
    """Code of others in place of a part, or where trainers take classes."""
    trainer = content.get("trainer")
    places = [(trainer, name) for name in ("callbacks", "logger", "strategy", "profiler", "plugins")]
    parent, key = rng.choice(places) if isinstance(trainer, dict) else leaf(content, rng)
    chosen = rng.choice(CLASSES)
    parent[key] = [chosen] if key == "callbacks" else chosen


def unknown(content: Any, rng: random.Random, raw: dict[str, str]) -> None:
    """A key that there is not."""
    parent, key = leaf({"top": content}, rng)
    if isinstance(parent, dict) and parent is not content and "top" not in parent:
        parent[f"{key}_{rng.choice('xyz')}"] = parent[key]
    else:
        content["unknown"] = 1


def dropped(content: Any, rng: random.Random, raw: dict[str, str]) -> None:
    """One part less."""
    parent, key = leaf(content, rng)
    if len(parent) > 1:
        del parent[key]


def moved(content: Any, rng: random.Random, raw: dict[str, str]) -> None:
    """A part in another place."""
    (parent, key), (other, place) = leaf(content, rng), leaf(content, rng)
    if not isinstance(parent[key], dict | list):
        other[place] = parent[key]


def text(content: Any, rng: random.Random, raw: dict[str, str]) -> None:
    """Nothing here; the text is changed, see `mangled`."""


def mangled(data: bytes, rng: random.Random) -> bytes:
    """The text of a recipe with a damage."""
    at = rng.randrange(len(data))
    more = (
        b"\t",
        b"\0",
        b"\xff",
        b": ",
        b"- ",
        b"&a ",
        b"*a ",
        b"<<: *a",
        b"---\n",
        b"%YAML 9\n",
        b"{",
        b"[" * 5000,
        b'"',
    )
    ways = (
        lambda: data[:at] + rng.choice(more) + data[at:],
        lambda: data[:at] + data[at + rng.randint(1, 30) :],
        lambda: data[:at],
        lambda: data + data[: rng.randint(1, len(data))],
        lambda: data.decode().encode(rng.choice(["utf-16", "utf-32", "cp037"])),
        lambda: b"a: &a {lr: 1}\n" + data.replace(b"lr:", b"<<: *a\n    lr:", 1),
        lambda: data + b"\n".join(b"a%d: &a%d [%s]" % (i, i, b",".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 9)),
    )
    return rng.choice(ways)()


CHANGES = {
    "value": value,
    "number": written(NUMBERS),
    "tag": written(TAGS),
    "class_path": class_path,
    "unknown": unknown,
    "dropped": dropped,
    "moved": moved,
    "text": text,
}
CODE = """
import resource, signal
signal.alarm({limit})
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
from swinv2.cli import main
args = ["--trainer.fast_dev_run", "1", "--data.num_workers", "0", "--trainer.enable_progress_bar", "false"]
raise SystemExit(main(["{task}", "fit", "--config", "recipe.yaml", *args]))
"""


def test_recipes(run_code, tmp_path):
    """None ends in a traceback or a signal, takes the memory of others, or runs what it names."""

    def use(recipe: Recipe) -> str | None:
        (tmp_path / "recipe.yaml").write_bytes(recipe.data)
        (code,), said = run_code(CODE.format(task=recipe.task, limit=LIMIT, memory=MEMORY))
        if (tmp_path / MARKER).exists():
            (tmp_path / MARKER).unlink()
            return "executed"
        if code not in (0, 1, 2) or "Traceback" in said or "fault of swinv2" in said:
            raise RuntimeError(f"exit code {code}: {said[-600:]}")
        if code:
            raise ValueError(said)
        refused = recipe.changes in (["tag"], ["class_path"], ["unknown"])
        return f"a run came of it: {said[-200:]}" if refused else None

    try_all(Recipe, use)
