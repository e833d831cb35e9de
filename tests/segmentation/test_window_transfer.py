"""One checkpoint at several windows."""

import csv
import json

import numpy as np
import pytest

from segmentation import window_transfer
from segmentation.window_transfer import Point, draw, main


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """The options of each validation, in whose place a score is left that tells window and size apart."""
    calls = []

    def validate(options):
        given = dict(zip(options[::2], options[1::2], strict=True))
        calls.append(given)
        folder = tmp_path / given["--model.output"]
        folder.mkdir(parents=True)
        score = int(given["--model.test_window_size"]) / int(given["--data.val_short_edge"])
        (folder / "scores.json").write_text(json.dumps({"mIoU": score}))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(window_transfer, "validate", validate)
    return calls


def test_every_window_at_every_size(scored, tmp_path, capsys):
    """The table has a line for each pair, with the score of the validation of just this pair; a picture is there."""
    command = ["--config", "some.yaml", "--window_sizes", "4", "8", "--short_edges", "16", "32", "--output", "out"]
    main([*command, "--ckpt_path", "some.ckpt"])
    assert [call["--config"] for call in scored] == ["some.yaml"] * 4
    assert {call["--ckpt_path"] for call in scored} == {"some.ckpt"}
    with (tmp_path / "out/windows.csv").open() as file:
        rows = [(int(edge), int(window), float(score)) for edge, window, score in list(csv.reader(file))[1:]]
    assert rows == [(16, 4, 0.25), (16, 8, 0.5), (32, 4, 0.125), (32, 8, 0.25)]
    assert (tmp_path / "out/windows.png").stat().st_size > 1000
    assert "        32       4  0.125" in capsys.readouterr().out


def test_windows_and_sizes_are_needed(scored, capsys):
    """Without them the command says what is missing."""
    with pytest.raises(SystemExit):
        main(["--config", "some.yaml"])
    assert "--window_sizes, --short_edges" in capsys.readouterr().err


def test_picture_has_a_line_for_each_checkpoint():
    """A panel for each size, a line for each checkpoint, through its points."""
    points = [Point(16, 4, 0.2), Point(16, 8, 0.4), Point(32, 4, 0.3)]
    figure = draw({"log": points, "linear": points[:2]})
    assert [axes.get_title() for axes in figure.axes] == ["short edge 16 pixels", "short edge 32 pixels"]
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["log", "linear"]
    np.testing.assert_array_equal(lines[0].get_xydata(), [[4, 0.2], [8, 0.4]])
