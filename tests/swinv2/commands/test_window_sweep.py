"""One checkpoint at several windows."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from swinv2.commands import window_sweep as window_transfer
from swinv2.commands.recipes import find_recipe
from swinv2.commands.window_sweep import Point, draw, draw_pairs, main

SIZES = {"classification": "--data.size", "segmentation": "--data.val_short_edge"}


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """The validations asked for, in whose place a score is left that tells window and size apart; recipes are empty."""
    calls = []
    for recipe in ("classification/some.yaml", "segmentation/some.yaml", "segmentation/a.yaml", "some.yaml", "b.yaml"):
        (tmp_path / recipe).parent.mkdir(exist_ok=True)
        (tmp_path / recipe).touch()

    def command(module):
        task = module.split(".")[-2]

        def run(args):
            assert args[0] == "validate"
            given = dict(zip(args[1::2], args[2::2], strict=True))
            calls.append((task, given))
            folder = tmp_path / given["--model.output"]
            folder.mkdir(parents=True)
            score = int(given["--model.test_window_size"]) / int(given[SIZES[task]])
            (folder / "scores.json").write_text(json.dumps({"mIoU": score, "top1": score}))

        return SimpleNamespace(main=run)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(window_transfer, "import_module", command)
    return calls


def written(path):
    """Size, window and score of each line of the table."""
    with path.open() as file:
        return [(int(edge), int(window), float(score)) for edge, window, score in list(csv.reader(file))[1:]]


@pytest.mark.parametrize("task", SIZES)
def test_every_window_at_every_size(scored, tmp_path, capsys, task):
    """The table has a line for each pair, with the score of the validation of just this pair; a picture is there."""
    options = ["--window_sizes", "4", "8", "--short_edges", "16", "32", "--output", "out", "--ckpt_path", "some.ckpt"]
    main(["--config", f"{task}/some.yaml", *options])
    assert [(name, call["--config"]) for name, call in scored] == [(task, f"{task}/some.yaml")] * 4
    assert {call["--ckpt_path"] for _, call in scored} == {"some.ckpt"}
    assert written(tmp_path / "out/windows.csv") == [(16, 4, 0.25), (16, 8, 0.5), (32, 4, 0.125), (32, 8, 0.25)]
    assert (tmp_path / "out/windows.png").stat().st_size > 1000
    assert "        32       4  0.125" in capsys.readouterr().out


def test_segmenters_write_neither_maps_nor_pictures(scored):
    """Only the score is needed; the long edge may be four times as long."""
    main(["--config", "segmentation/some.yaml", "--window_sizes", "4", "--short_edges", "16"])
    (_, given), *_ = scored
    assert given["--data.val_long_edge"] == "64"
    assert given["--model.maps"] == "false" and given["--model.pictures"] == "0"


def test_pairs(scored, tmp_path):
    """As in table 1, each window at its own size."""
    options = ["--window_sizes", "4", "8", "--short_edges", "16", "64", "--pairs", "--output", "out"]
    main(["--config", "classification/some.yaml", *options])
    assert written(tmp_path / "out/windows.csv") == [(16, 4, 0.25), (64, 8, 0.125)]
    assert (tmp_path / "out/windows.png").stat().st_size > 1000


def test_pairs_need_as_many_of_both(scored):
    """The message counts them."""
    options = ["--window_sizes", "4", "8", "--short_edges", "16", "--pairs"]
    with pytest.raises(ValueError, match="--pairs needs a size for each window, got 1 short_edges and 2 window_sizes"):
        main(["--config", "classification/some.yaml", *options])


def test_task_may_be_said(scored):
    """For a recipe in another folder; without it the message says so."""
    options = ["--config", "some.yaml", "--window_sizes", "4", "--short_edges", "16"]
    with pytest.raises(ValueError, match=r"Of which task is some\.yaml\? .* add --task classification or --task seg"):
        main(options)
    main([*options, "--task", "segmentation"])
    assert [name for name, _ in scored] == ["segmentation"]


def test_several_recipes(scored):
    """One above the other, as other commands take them."""
    calls = []
    window_transfer.import_module = lambda _: SimpleNamespace(main=calls.append)
    with pytest.raises(FileNotFoundError):  # there is no score
        main(
            [
                *("--config", "segmentation/a.yaml", "--config", "b.yaml"),
                *("--window_sizes", "4", "--short_edges", "16"),
            ]
        )
    assert calls[0][:5] == ["validate", "--config", "segmentation/a.yaml", "--config", "b.yaml"]


def test_recipe_by_its_name(scored):
    """One that comes with swinv2 is validated from its file, and its folder tells the task."""
    main(["--config", "segmentation/quickstart", "--window_sizes", "4", "--short_edges", "16"])
    ((task, given),) = scored
    assert (task, given["--config"]) == ("segmentation", str(find_recipe("segmentation/quickstart")))


def test_windows_and_sizes_are_needed(scored, capsys):
    """Without them the command says what is missing."""
    with pytest.raises(SystemExit):
        main(["--config", "some.yaml"])
    assert "--window_sizes, --short_edges" in capsys.readouterr().err


def test_picture_has_a_line_for_each_checkpoint():
    """A panel for each size, a line for each checkpoint, through its points."""
    points = [Point(16, 4, 0.2), Point(16, 8, 0.4), Point(32, 4, 0.3)]
    figure = draw({"log": points, "linear": [*points[:2], Point(32, 8, 0.1)]}, "mIoU")
    assert [axes.get_title() for axes in figure.axes] == ["short edge 16 pixels", "short edge 32 pixels"]
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["log", "linear"]
    np.testing.assert_array_equal(lines[0].get_xydata(), [[4, 0.2], [8, 0.4]])


def test_picture_of_pairs_names_both():
    """One panel, the pairs in their order, also where a window comes twice."""
    (axes,) = draw_pairs({"": [Point(256, 8, 0.8), Point(384, 12, 0.9), Point(512, 12, 0.7)]}, "top1").axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["8\n256", "12\n384", "12\n512"]
    np.testing.assert_array_equal(axes.get_lines()[0].get_xydata(), [[0, 0.8], [1, 0.9], [2, 0.7]])
