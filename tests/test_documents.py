"""The README and the documents do what they say."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from swinv2.cli import main
from swinv2.commands.models import models_table
from swinv2.variants import list_models

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]


def blocks(language):
    """Every block of code in a language, with the name of its document."""
    return [
        pytest.param(text, id=f"{document.name}-{i}")
        for document in DOCUMENTS
        for i, text in enumerate(re.findall(rf"```{language}\n(.*?)```", document.read_text(), re.DOTALL))
    ]


def commands():
    """Every `swinv2` command in the blocks for the shell."""
    lines = [line for block in blocks("bash") for line in block.values[0].splitlines()]
    return [
        part.strip() for line in lines for part in line.split("#")[0].split("&&") if part.strip().startswith("swinv2")
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.stem)
def test_each_block_says_what_it_is(document):
    """Blocks that are run are bash, python or yaml; others show what is printed, or needs what is not here."""
    languages = re.findall(r"^```([^\n]*)\n.*?^```$", document.read_text(), re.DOTALL | re.MULTILINE)
    assert set(languages) <= {"bash", "python", "yaml", "", "text", "bibtex", "console", "py"}


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code):
    """Each block runs from beginning to end by itself."""
    exec(compile(code, "block", "exec"), {})


@pytest.mark.parametrize("command", commands())
def test_commands_are_accepted(command, monkeypatch, capsys):
    """Each command is understood, recipe and options; what it does is tested with the task."""
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stopped:
        main([*shlex.split(command)[1:], "--print_config"])
    assert stopped.value.code == 0, capsys.readouterr().err


@pytest.mark.parametrize("text", blocks("yaml"))
def test_recipe_parts_are_accepted(text, tmp_path, monkeypatch, capsys):
    """Each part of a recipe has keys that exist; the recipe is the one that a comment in the part names."""
    monkeypatch.chdir(ROOT)
    part = tmp_path / "part.yaml"
    part.write_text(text)
    named = re.search(r"^#.*?(configs/(\w+)/\w+\.yaml)", text, re.MULTILINE)
    recipe, task = named.groups() if named else ("configs/detection/mask_rcnn_swinv2_tiny_coco.yaml", "detection")
    with pytest.raises(SystemExit) as stopped:
        main([task, "fit", "--config", recipe, "--config", str(part), "--print_config"])
    assert stopped.value.code == 0, capsys.readouterr().err


def test_links_lead_somewhere():
    """Files that the documents name exist."""
    for document in PAGES:
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_model_table_is_what_the_command_prints():
    """The table in docs/models.md has the numbers that are counted, for the small models here."""
    page = (ROOT / "docs/models.md").read_text()
    for line in models_table("*_tiny_*").splitlines()[1:3]:
        name, *cells = re.split(r"  +", line)
        assert f"| {name} | {' | '.join(cells)} |" in page
    assert all(f"| {name} |" in page for name in list_models())


def test_picture_of_windows_is_what_the_code_cuts():
    """The drawn windows and slots are those of `swinv2.windows.cut`."""
    script = runpy.run_path(str(ROOT / "docs/draw_windows.py"))
    assert script["draw"]() == script["PICTURE"].read_text(), "run python docs/draw_windows.py"


def test_each_page_is_in_the_site():
    """The navigation of the site names every page, and no page that is not there."""
    named = set(re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    pages = {str(path.relative_to(ROOT / "docs")) for path in DOCUMENTS[1:]}
    assert named == pages | {"index.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}


def test_setup_and_package_agree_on_the_version():
    """The version is the same in all places."""
    import swinv2

    assert f'version="{swinv2.__version__}"' in (ROOT / "setup.py").read_text()
    assert f"\nversion: {swinv2.__version__}\n" in (ROOT / "CITATION.cff").read_text()
