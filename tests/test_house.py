"""The rules of the house that a machine can see."""

import ast
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from jaxtyping import TypeCheckError

ROOT = Path(__file__).parent.parent
PACKAGES = ("swinv2", "detection", "segmentation", "video")
TASKS = PACKAGES[1:]
SOURCES = sorted(path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
TEXTS = [
    path.relative_to(ROOT)
    for pattern in (
        "*.*",
        ".ci/*",
        ".github/**/*.*",
        "docs/**/*.*",
        "configs/**/*.yaml",
        "tests/**/*.*",
        "benchmarks/**/*.*",
    )
    for path in ROOT.glob(pattern)
    if path.is_file()
    and path.suffix in ("", ".md", ".py", ".toml", ".yaml", ".yml", ".cff", ".csv", ".json", ".txt")
    and path not in (Path(__file__), ROOT / ".git")  # the latter is a file where the folder is a worktree
]
PLAIN = ("windows", "attention", "backbone")  # the model that a stranger reads
CORE = {  # files of the model: what they may import of each other
    "windows": set(),
    "attention": {"windows"},
    "layers": {"windows"},
    "arguments": {"windows"},
    "backbone": {"windows", "attention", "layers", "arguments"},
}
MACHINERY = r"torch\.ops|torch\.backends|data_ptr|\b_version\b|[hH]ooks|[tT]riton"  # that only engines deal in
NEEDED = {"torch", "jaxtyping"}
IN_SWINV2 = ("swinv2/classification", "swinv2/simmim")  # tasks that are part of it
TESTED_ELSEWHERE = {  # sources without a test file of their name, and the one that tests what they are for
    "detection/supervision_checks.py": "detection/test_task.py",
    "detection/cli.py": "detection/test_task.py",
    "detection/data/coco_fields.py": "detection/data/test_annotations.py",
    "detection/data/coco_index.py": "detection/data/test_annotations.py",
    "detection/data/coco_reader.py": "detection/data/test_annotations.py",
    "detection/data/origins.py": "detection/data/test_regions.py",
    "detection/data/segmentation_checks.py": "detection/data/test_annotations.py",
    "detection/detectors/detector.py": "detection/test_task.py",
    "segmentation/cli.py": "segmentation/test_task.py",
    "segmentation/data/class_headings.py": "segmentation/data/test_class_list.py",
    "segmentation/data/class_json.py": "segmentation/data/test_class_list.py",
    "segmentation/data/class_numbers.py": "segmentation/data/test_class_list.py",
    "segmentation/data/class_table.py": "segmentation/data/test_class_list.py",
    "segmentation/data/name_lists.py": "segmentation/data/test_pairs.py",
    "segmentation/segmenters/fcn.py": "segmentation/segmenters/test_upernet.py",
    "swinv2/classification/cli.py": "swinv2/classification/test_classification_cli.py",
    "swinv2/classification/shards/labels.py": "swinv2/classification/shards/test_index.py",
    "swinv2/classification/shards/missing.py": "swinv2/classification/shards/test_dataset.py",
    "swinv2/classification/shards/patterns.py": "swinv2/classification/shards/test_dataset.py",
    "swinv2/classifier.py": "swinv2/test_peers.py",
    "swinv2/commands/models.py": "swinv2/test_variants.py",
    "swinv2/commands/tasks.py": "swinv2/test_cli.py",
    "swinv2/commands/plan_report.py": "swinv2/commands/test_plan.py",
    "swinv2/engines/cpu/engine.py": "swinv2/engines/test_equal.py",
    "swinv2/engines/gpu/kernels/attention_backward.py": "swinv2/engines/gpu/test_attention.py",
    "swinv2/engines/gpu/kernels/attention_forward.py": "swinv2/engines/gpu/test_attention.py",
    "swinv2/engines/gpu/kernels/launch.py": "swinv2/engines/gpu/test_attention.py",
    "swinv2/engines/gpu/kernels/norm_kernels.py": "swinv2/engines/gpu/test_norm.py",
    "swinv2/engines/gpu/kernels/norm_launch.py": "swinv2/engines/gpu/test_norm.py",
    "swinv2/engines/gpu/kernels/tiles.py": "swinv2/engines/gpu/test_attention.py",
    "swinv2/imaging/datasets.py": "swinv2/imaging/test_reading.py",
    "swinv2/imaging/decoding/errors.py": "swinv2/imaging/decoding/test_rgb.py",
    "swinv2/imaging/resize.py": "detection/data/test_transforms.py",
    "swinv2/layers.py": "swinv2/test_backbone.py",
    "swinv2/shapes/ade20k.py": "swinv2/shapes/test_shapes.py",
    "swinv2/shapes/build.py": "swinv2/shapes/test_shapes.py",
    "swinv2/shapes/coco.py": "swinv2/shapes/test_shapes.py",
    "swinv2/shapes/drawing.py": "swinv2/shapes/test_shapes.py",
    "swinv2/shapes/image_folder.py": "swinv2/shapes/test_shapes.py",
    "swinv2/shapes/kinetics.py": "swinv2/shapes/test_shapes.py",
    "swinv2/shapes/scenes.py": "swinv2/shapes/test_shapes.py",
    "swinv2/simmim/cli.py": "swinv2/simmim/test_task.py",
    "swinv2/training/runs/resuming.py": "swinv2/training/runs/test_checkpointing.py",
    "swinv2/training/tables.py": "swinv2/training/test_plots.py",
    "swinv2/weights/placement.py": "swinv2/weights/test_loading.py",
    "video/data/list_formats.py": "video/data/test_lists.py",
    "video/data/list_json.py": "video/data/test_lists.py",
    "video/data/list_rows.py": "video/data/test_lists.py",
    "video/data/list_tables.py": "video/data/test_lists.py",
    "video/readers/reader.py": "video/readers/test_opening.py",
    "video/readers/suffixes.py": "video/data/test_files.py",
}
MODULES = {
    "opencv-python-headless": "cv2",
    "pillow-heif": "pillow_heif",
    "pillow": "PIL",
    "pyyaml": "yaml",
}  # packages that are imported under another name


@cache
def imports(source):
    """Full names of all that a file imports, wherever in the file."""
    package = source.parts[:-1]
    names = []
    for node in ast.walk(ast.parse((ROOT / source).read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            home = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (home, node.module)))
            names += [f"{module}.{alias.name}" for alias in node.names]
    return names


def importing(package):
    """Pairs of a file and something that it imports from a package."""
    return [(str(s), name) for s in SOURCES for name in imports(s) if name.split(".")[0] == package]


def test_there_is_something_to_check():
    """The rules below look at the files that they mean."""
    assert Path("swinv2/backbone.py") in SOURCES
    assert "swinv2.attention.WindowAttention" in imports(Path("swinv2/backbone.py"))


@pytest.mark.parametrize("task", TASKS)
def test_tasks_stand_on_the_backbone_only(task):
    """The backbone imports no task, and no task imports another."""
    assert [pair for pair in importing(task) if not pair[0].startswith(task)] == []


@pytest.mark.parametrize("folder", ["tests", "configs", "benchmarks"])
def test_sources_import_no_other_folder(folder):
    """Imports point from recipes and tests to the sources, never back."""
    assert importing(folder) == []


def test_the_model_is_layered():
    """Windows know no attention, attention no backbone, and none of them what is built on the model."""
    for module, allowed in CORE.items():
        used = {name.split(".")[1] for name in imports(Path(f"swinv2/{module}.py")) if name.startswith("swinv2.")}
        assert used <= allowed, module


def test_engines_are_chosen_in_one_place():
    """Who asks for a model gets its engines; nobody else knows of them."""
    users = {
        str(source)
        for source in SOURCES
        for name in imports(source)
        if name.startswith("swinv2.engines") and "engines" not in source.parts
    }
    assert users == {"swinv2/__init__.py", "swinv2/variants.py"}
    for one, other in (("cpu", "gpu"), ("gpu", "cpu")):
        inside = [s for s in SOURCES if s.parts[:3] == ("swinv2", "engines", one)]
        assert not any(name.startswith(f"swinv2.engines.{other}") for s in inside for name in imports(s))


def test_the_model_is_short():
    """A stranger reads it in ten minutes."""
    texts = [(ROOT / f"swinv2/{module}.py").read_text() for module in PLAIN]
    branches = [node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.If | ast.IfExp)]
    assert sum(len(text.splitlines()) for text in texts) <= 500
    assert len(branches) <= 20


def test_the_model_knows_no_machinery():
    """What makes it fast is in the engines."""
    found = [s for s in SOURCES if s.parts[:-1] == ("swinv2",) and re.search(MACHINERY, (ROOT / s).read_text())]
    assert found == []


def test_no_circle_of_imports():
    """Whoever reads a file needs to know those that it imports, and none of them that one."""
    files = {".".join(s.with_suffix("").parts).removesuffix(".__init__"): s for s in SOURCES}
    edges: dict[str, set[str]] = {}
    for module, source in files.items():
        named = {name if name in files else name.rpartition(".")[0] for name in imports(source)}
        rooms = {name.rsplit(".", depth)[0] for name in named for depth in range(name.count("."))}  # read on the way
        edges[module] = {name for name in named | rooms if name in files and not f"{module}.".startswith(f"{name}.")}
    done: set[str] = set()

    def walk(module, path):
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for name in edges[module]:
                walk(name, [*path, module])
            done.add(module)

    for module in files:
        walk(module, [])


def test_rooms_are_small():
    """Whoever opens a folder sees all of it."""
    counts = Counter(source.parent for source in SOURCES)
    assert counts[Path("swinv2")] <= 12
    assert [folder for folder, number in counts.items() if number > 16] == []


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        ("imaging", {"imaging", "files"}),
        ("files", {"files"}),
        ("downloads", {"downloads", "files"}),
        ("weights", {*CORE, "weights", "files", "downloads"}),
    ],
)
def test_rooms_import_one_way(room, allowed):
    """What reads images, files and weights knows nothing of training and tasks."""
    inside = [source for source in SOURCES if source.parts[:2] == ("swinv2", room)]
    used = {name.split(".")[1] for source in inside for name in imports(source) if name.startswith("swinv2.")}
    assert inside and used <= allowed


def test_commands_are_called_by_the_command_line_alone():
    """Tasks start theirs by `swinv2.commands.task`; nothing else knows of commands."""
    users = {s for s, name in importing("swinv2") if name.startswith("swinv2.commands")}
    users = {s for s in users if not s.startswith("swinv2/commands/")}
    assert users == {
        "swinv2/cli.py",
        "detection/detectron2.py",
        *(f"{folder}/cli.py" for folder in (*TASKS, *IN_SWINV2)),
    }


def test_each_source_has_its_test():
    """It is found under the same path and name, unless other tests do what it is for."""
    missing = {str(s) for s in SOURCES if s.stem != "__init__" and not mirror(s).exists()}
    assert missing == set(TESTED_ELSEWHERE)
    assert [test for test in TESTED_ELSEWHERE.values() if not (ROOT / "tests" / test).exists()] == []


def mirror(source):
    """The test file of a source."""
    return ROOT / "tests" / source.with_name(f"test_{source.name}")


def test_only_one_file_imports_detectron2():
    """Whoever has no detectron2 misses nothing but its bridge."""
    assert {file for file, _ in importing("detectron2")} <= {"detection/detectron2.py"}


def test_backbone_needs_only_torch_and_jaxtyping():
    """`import swinv2` works where nothing else is installed."""
    blocked = sorted(
        {name.split(".")[0] for s in SOURCES for name in imports(s)} - {*sys.stdlib_module_names, *PACKAGES, *NEEDED}
    )
    assert "torchvision" in blocked
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); import swinv2; swinv2.SwinTransformerV2()"
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_annotations_are_checked():
    """The test run checks every annotation of the sources; a wrong shape or type raises."""
    from swinv2.training.parameter_groups import layer_id

    with pytest.raises(TypeCheckError):
        layer_id("patch_embed.proj.weight", depths="2262")


def test_no_file_is_a_drawer():
    """Every file has the name of the thing in it."""
    assert [s for s in SOURCES if s.stem in ("utils", "util", "misc", "helpers", "common")] == []


@pytest.mark.parametrize("pattern", [r"\b(TODO|FIXME|XXX)\b", r"(?<![\w.])/(work|root|home|Users)/"])
def test_nothing_is_left_lying(pattern):
    """No unfinished work is noted in the files, and no path of somebody's machine."""
    assert [path for path in [*SOURCES, *TEXTS] if re.search(pattern, (ROOT / path).read_text())] == []


def test_ci_runs_the_command_of_the_readme():
    """What is tested on every change is what the README tells a newcomer to type."""
    command = "pip install -e '.[test]' && pytest"
    for file in (".ci/run", ".github/workflows/ci.yml", "README.md"):
        assert command in (ROOT / file).read_text(), file


@pytest.mark.parametrize("check", ["ruff format --check", "ruff check", "mypy", "--durations=20"])
@pytest.mark.parametrize("file", [".ci/run", ".github/workflows/ci.yml"])
def test_ci_runs_the_tools(file, check):
    """What pre-commit asks of one developer is asked of every change."""
    assert check in (ROOT / file).read_text()


def test_the_quick_tests_are_there():
    """What pre-commit runs names files and folders of this one."""
    assert [line for line in (ROOT / "tests/quick.txt").read_text().split() if not (ROOT / line).exists()] == []


def test_the_readme_is_a_door():
    """What a newcomer needs fits a page; all else has a manual in docs/."""
    assert (ROOT / "README.md").stat().st_size <= 12_000


def test_each_requirement_is_used():
    """What a user must install is imported somewhere: by us, or by Lightning (tensorboard, jsonargparse)."""
    text = (ROOT / "setup.py").read_text()
    required = re.findall(r'"([^"]+)"', text[text.index("FOUR =") : text.index("TEST =")])
    modules = {MODULES.get(name, name) for name in (re.split(r"[>\[]", name)[0] for name in required)}
    used = {name.split(".")[0] for s in SOURCES for name in imports(s)} | {"tensorboard", "jsonargparse"}
    assert "torch" in modules
    assert modules - used == set()


def test_each_import_is_required():
    """What the sources import is what a user is told to install, or is said to be optional."""
    text = (ROOT / "setup.py").read_text()
    for name, module in MODULES.items():
        text = re.sub(rf'"{name}\b', f'"{module}', text)
    text = text.replace("-", "_")
    used = {name.split(".")[0] for s in SOURCES for name in imports(s)} - {*sys.stdlib_module_names, *PACKAGES}
    missing = {name for name in used if not re.search(rf'"{name}\b', text)}
    assert missing <= {
        "detectron2",
        "torchcodec",
        "triton",
    }  # not on PyPI, with a system's FFmpeg, with PyTorch for CUDA
