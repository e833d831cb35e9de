"""Training, scoring and prediction on two processes, as on two GPUs."""

import json
import re
from pathlib import Path

import pytest

from swinv2.cli import main
from swinv2.shapes import make_video

VIDEOS = 41  # odd: the two processes have different numbers
TWO = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]


def summary(said):
    """The line with the scores, and those of the classes, once each."""
    found = re.findall(r"^(?:\w[\w ]* +\d+ +[01]\.\d{3}|top-1 .*)$", said, re.MULTILINE)
    assert len(found) == 5 and sum(int(line.split()[-2]) for line in found[:4]) == VIDEOS
    return found


def finished(folder):
    """The videos that each process of a test has finished so far."""
    texts = [path.read_text() for path in sorted(folder.glob("validate/finished-*/*.jsonl"))]
    return [{name for line in text.split("\n") if line.endswith("}") for name in json.loads(line)} for text in texts]


@pytest.fixture
def command(recipe, tmp_path):
    """The beginning of all commands, with options for all of them."""
    make_video(tmp_path / "shapes", train=8, val=VIDEOS, size=32)
    data = {"batch_size": 2, "frames": 8, "stride": 1, "num_workers": 1}
    path = recipe(tmp_path, tmp_path / "shapes", data=data)
    return lambda name, *options: ["video", name, "--config", path, "--trainer.default_root_dir", "run", *options]


def test_two_processes(on_two_processes, killed_test, command, tmp_path, monkeypatch, capsys):
    """Training ends with a score; a killed test goes on and scores as one process does; each video is predicted."""
    said = on_two_processes(*command("fit", "--model.optimizer.lr", "3e-3"))
    assert len(re.findall("^top-1 0.*", said, re.MULTILINE)) == 1
    views = ["--data.val_clips", "4", "--data.val_crops", "3", "--data.short_edge", "48"]
    killed_test(command("validate", *views, *TWO), batches=2, processes=2)
    done = set.union(*finished(tmp_path / "run"))
    assert len(finished(tmp_path / "run")) == 2 and 2 <= len(done) < VIDEOS
    contents = {path: Path(path).read_bytes() for path in done}
    for path in done:
        Path(path).write_bytes(b"")
    killed = on_two_processes(*command("validate", *views))
    assert f"Going on with a test that was stopped: {len(done)} videos are finished." in killed
    assert "Skipped" not in killed
    assert not list(tmp_path.glob("run/validate/finished-*"))
    for path, content in contents.items():
        Path(path).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    assert main(command("validate", *views)) == 0
    assert summary(killed) == summary(capsys.readouterr().out)
    (tmp_path / "shapes/val/broken.mp4").write_bytes(b"no video")
    said = on_two_processes(
        *command("predict", "--data.videos", "shapes/val/0000000*.mp4", "--data.videos+=shapes/val/broken.mp4")
    )
    assert "1 of 11 videos could not be read" in said
    names = [f"{index:08}" for index in range(10)]
    for folder in ("scores", "videos"):
        assert sorted(path.stem for path in (tmp_path / "run/predict" / folder).iterdir()) == names


def test_fewer_videos_than_processes(on_two_processes, command, tmp_path):
    """One video is scored once and one film predicted, by the first process, while the other has nothing to do."""
    (tmp_path / "shapes/one.txt").write_text((tmp_path / "shapes/val.txt").read_text().split("\n")[0])
    untrained = ["--ckpt_path", "null"]
    said = on_two_processes(*command("validate", *untrained, "--data.val", "one.txt"))
    assert re.findall(r"^\w[\w ]* +(\d+) ", said, re.MULTILINE).count("1") == 1
    assert json.loads((tmp_path / "run/validate/scores.json").read_text())["scored"] == 1
    said = on_two_processes(*command("predict", *untrained, "--data.videos", "shapes/val/00000000.mp4"))
    assert said.count("00000000: 0:00-") == 1
    assert [path.name for path in sorted((tmp_path / "run/predict").glob("*/*"))] == ["00000000.csv", "00000000.mp4"]
