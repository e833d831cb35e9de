"""The video command from end to end, on made data."""

import collections
import csv
import json
import re
import shutil
import weakref

import av
import cv2
import numpy as np
import pytest
import torch

from swinv2.cli import main
from video.inference.resume import Finished
from video.inference.sliding_clips import AT_ONCE
from video.readers.pyav_reader import PyAVReader

CLASSES = ["left", "right", "fast left", "fast right"]
SUMMARY = r"^top-1 0\.\d{3}  top-5 1\.000  mean class accuracy 0\.\d{3}$"


def table(path):
    """Rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.reader(file))


def frames_of(path):
    """How many frames of a video decode."""
    with av.open(str(path)) as file:
        return sum(1 for _ in file.decode(video=0))


def predict(recipe, *videos, output="found"):
    """The command that predicts some videos."""
    named = json.dumps([str(video) for video in videos])
    return ["video", "predict", "--config", recipe, "--data.videos", named, "--model.output", output]


def test_fit_leaves_checkpoints_and_logs(trained, tmp_path):
    """The scores are printed at the end; checkpoints with class names, metrics and TensorBoard are there."""
    _, said = trained
    assert re.search(SUMMARY, said, re.MULTILINE)
    run = tmp_path / "runs/video/small"
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    header = (run / "version_0/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"top1", "top5", "class_accuracy"} <= set(header)
    assert list((run / "version_0").glob("events.out.tfevents*"))
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["class_names"] == CLASSES


def test_validate_prints_the_classes_and_writes_a_report(trained, tmp_path, capsys):
    """The best checkpoint is scored by class; the report has the figures that are printed, and all of its files."""
    assert main(["video", "validate", "--config", trained[0], "--model.output", "scored"]) == 0
    said = capsys.readouterr().out
    counts = dict(re.findall(r"^(.+?) +(\d+) +[01]\.\d{3}$", said, re.MULTILINE))
    assert counts == dict(zip(CLASSES, "2211", strict=True))
    assert "left out" not in said
    figures = json.loads((tmp_path / "scored/scores.json").read_text())
    assert (figures["scored"], figures["skipped"]) == (6, 0)
    assert f"top-1 {figures['top1']:.3f}  top-5 1.000  mean class accuracy {figures['class_accuracy']:.3f}" in said
    named = said.split("report: ")[1].splitlines()[0].split(", ")
    assert named == [f"scored/{name}" for name in ("scores.json", "classes.csv", "confusion.png", "confused.csv")]
    header, *pairs = table(tmp_path / "scored/confused.csv")
    assert header == ["truth", "predicted", "share_of_truth", "number"]
    assert sum(int(number) for *_, number in pairs) == 6 - round(6 * figures["top1"])
    assert cv2.imread(str(tmp_path / "scored/confusion.png")).shape[2] == 3


def test_figures_are_those_of_the_model(trained, tmp_path, capsys, monkeypatch):
    """Top-1 counted by hand from the probabilities of all views is what the command says."""
    rows = {}
    monkeypatch.setattr(Finished, "add", lambda _, batch: rows.update(batch))
    views = ["--data.val_clips", "2", "--data.val_crops", "3"]
    assert main(["video", "validate", "--config", trained[0], *views]) == 0
    right = [rows[path].argmax() == label for label, path in zip([0, 1, 2, 3, 0, 1], sorted(rows), strict=True)]
    assert f"top-1 {np.mean(right):.3f}" in capsys.readouterr().out
    assert all(row.sum().item() == pytest.approx(1) for row in rows.values())


def test_unreadable_video_is_left_out_of_the_score(trained, shapes, tmp_path, capsys):
    """One bad file is counted in the log and the others are scored; if all are bad, that is the error."""
    root = tmp_path / "copy"
    shutil.copytree(shapes, root)
    validate = ["video", "validate", "--config", trained[0], "--data.root", str(root)]
    (root / "val/00000002.mp4").write_bytes(b"")
    with (root / "val.txt").open("a") as file:
        file.write("val/gone.mp4 1\n")
    assert main(validate) == 0
    said = capsys.readouterr().out
    assert re.search(r"^fast left +0 +-$", said, re.MULTILINE)
    assert "2 of 7 videos are left out: 1 missing, 1 unreadable" in said
    figures = json.loads((tmp_path / "runs/video/small/validate/scores.json").read_text())
    assert (figures["scored"], figures["skipped"]) == (5, 2)
    for path in (root / "val").iterdir():
        path.write_bytes(b"no video")
    assert main(validate) == 1
    assert "6 of 6 validation videos that were tried cannot be used" in capsys.readouterr().err


def test_predict_writes_scores_and_videos(trained, tmp_path, encode, capsys):
    """A file and a folder of frames give probabilities by the second and annotated videos with all of their frames."""
    film = encode("film.mp4", frames=60)
    (tmp_path / "pictures").mkdir()
    for index in range(45):
        cv2.imwrite(str(tmp_path / f"pictures/{index:03}.png"), np.full((40, 60, 3), 5 * index, np.uint8))
    assert main(predict(trained[0], film, tmp_path / "pictures")) == 0
    said = capsys.readouterr().out
    for name, seconds, frames in (("film", 3, 60), ("pictures", 2, 45)):
        header, *rows = table(tmp_path / f"found/scores/{name}.csv")
        assert header == ["second", "class", "probability", *CLASSES]
        assert [row[0] for row in rows] == [str(second) for second in range(seconds)]
        for _, best, probability, *every in rows:
            values = np.array(every, float)
            assert values.sum() == pytest.approx(1, abs=1e-3)
            assert (best, float(probability)) == (CLASSES[values.argmax()], values.max())
        assert frames_of(tmp_path / f"found/videos/{name}.mp4") == frames
        assert f"{name}: 0:00-" in said


def test_memory_of_prediction_does_not_depend_on_the_length(trained, encode, monkeypatch):
    """However long a video, few of its frames are in memory at a time, while it is scored and while it is drawn."""
    alive, peaks, read = collections.Counter(), [], PyAVReader.read

    def counted(reader, indices):
        frames = read(reader, indices)
        alive["frames"] += len(frames)
        weakref.finalize(frames, alive.subtract, {"frames": len(frames)})
        peaks.append(alive["frames"])
        return frames

    monkeypatch.setattr(PyAVReader, "read", counted)
    for frames in (50, 400):
        peaks.clear()
        assert main(predict(trained[0], encode(f"{frames}.mp4", frames=frames))) == 0
        assert sum(peaks) >= frames and max(peaks) <= 2 * AT_ONCE


def test_predict_leaves_bad_files_out(trained, tmp_path, encode, capsys, caplog):
    """A bad file is counted and the run goes on; without a single good one it is an error."""
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    bad = [tmp_path / "broken.mp4", tmp_path / "empty.mp4"]
    assert main(predict(trained[0], bad[0], encode("film.mp4"), bad[1])) == 0
    assert "Skipped a video, 2 of 3 so far: " in caplog.text
    assert "2 of 3 videos could not be read" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "found/scores").iterdir()] == ["film.csv"]
    assert main(predict(trained[0], *bad)) == 1
    assert "There are no results of 2 videos: none of them could be read" in capsys.readouterr().err


def test_damage_found_while_drawing_leaves_no_scores(trained, tmp_path, encode, caplog):
    """A frame that no clip needs, but the annotated video does, leaves the video out as a whole."""
    (tmp_path / "pictures").mkdir()
    for index in range(8):
        cv2.imwrite(str(tmp_path / f"pictures/{index}.png"), np.zeros((40, 60, 3), np.uint8))
    (tmp_path / "pictures/7.png").write_bytes(b"no picture")
    assert main([*predict(trained[0], tmp_path / "pictures", encode("film.mp4")), "--data.frames", "1"]) == 0
    assert "Skipped a video, 1 of 2 so far: The frame" in caplog.text
    assert sorted(path.name for path in (tmp_path / "found").glob("*/*")) == ["film.csv", "film.mp4"]


def test_results_of_an_earlier_prediction_are_put_aside(trained, tmp_path, encode):
    """The folders hold the results of one run, those before stay beside them."""
    for name in "ab":
        assert main(predict(trained[0], encode(f"{name}.mp4"))) == 0
    assert [path.name for path in (tmp_path / "found/scores").iterdir()] == ["b.csv"]
    assert [path.name for path in (tmp_path / "found/videos.1").iterdir()] == ["a.mp4"]


def test_results_are_not_predicted_again(trained, tmp_path, encode, capsys):
    """A folder that results are written into can be predicted again and again."""
    encode("film.mp4")
    for _ in range(2):
        assert main(predict(trained[0], tmp_path, output="found")) == 0
        assert "1 videos (1 .mp4) to predict" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "found/scores").iterdir()] == ["film.csv"]


def test_results_never_take_the_place_of_the_videos(trained, tmp_path, encode, capsys):
    """Where the videos lie in the folder that the results go to, nothing is touched."""
    (tmp_path / "videos").mkdir()
    film = encode("videos/film.mp4")
    before = film.read_bytes()
    assert main(predict(trained[0], "videos/film.mp4", output=".")) == 1
    assert "give --model.output another folder" in capsys.readouterr().err
    assert film.read_bytes() == before


def test_predict_without_data(trained, tmp_path, encode):
    """The checkpoint knows the classes; the data need not be there."""
    assert main([*predict(trained[0], encode("film.mp4")), "--data.root", "nowhere"]) == 0
    assert table(tmp_path / "found/scores/film.csv")[0][3:] == CLASSES


def test_model_as_built_predicts_without_names(recipe, tmp_path, monkeypatch, encode):
    """Without a checkpoint classes have numbers for names."""
    monkeypatch.chdir(tmp_path)
    path = recipe(tmp_path, classes=2)
    assert main([*predict(path, encode("film.mp4")), "--ckpt_path", "null"]) == 0
    assert table(tmp_path / "found/scores/film.csv")[0][3:] == ["class 0", "class 1"]


def test_missing_data_is_named_before_anything_is_built(recipe, tmp_path, monkeypatch, capsys):
    """A wrong root is a message, not a traceback."""
    monkeypatch.chdir(tmp_path)
    assert main(["video", "fit", "--config", recipe(tmp_path), "--data.root", "nowhere"]) == 1
    assert "There are no training videos nowhere/train.txt" in capsys.readouterr().err


def test_sample_data_is_made_where_it_is_missing(recipe, tmp_path, monkeypatch):
    """With `shapes` the command draws the clips first, so that it knows the classes."""
    monkeypatch.chdir(tmp_path)
    path = recipe(tmp_path, root="made", data={"shapes": {"train": 4, "val": 4, "size": 32}})
    assert main(["video", "fit", "--config", path]) == 0
    saved = torch.load(tmp_path / "runs/video/small/checkpoints/last.ckpt", weights_only=True)
    assert saved["class_names"] == CLASSES
    assert len(saved["state_dict"]["model.head.weight"]) == 4


def test_classes_of_data_and_model_must_agree(recipe, tmp_path, monkeypatch, capsys):
    """The error names both numbers and the key to change."""
    monkeypatch.chdir(tmp_path)
    assert main(["video", "fit", "--config", recipe(tmp_path, classes=5)]) == 1
    said = capsys.readouterr().err
    assert "The data has 4 classes" in said and "the model 5" in said and "num_classes to 4" in said


def test_classes_of_checkpoint_and_model_must_agree(trained, capsys, encode):
    """A checkpoint of another number of classes is refused, with the way to use it all the same."""
    wrong = ["--model.model.init_args.num_classes", "3"]
    assert main([*predict(trained[0], encode("film.mp4")), *wrong]) == 1
    said = capsys.readouterr().err
    assert "The checkpoint has 4 classes (left, right" in said and "--model.weights" in said


@pytest.mark.parametrize("command", [["validate"], ["fit", "--ckpt_path", "last"]], ids=["validate", "fit"])
def test_classes_of_checkpoint_and_data_must_have_the_same_names(trained, shapes, tmp_path, capsys, command):
    """As many classes that mean something else are refused, and the message says which."""
    root = tmp_path / "copy"
    shutil.copytree(shapes, root)
    (root / "classes.txt").write_text("left\nup\nfast left\nfast right\n")
    assert main(["video", *command, "--config", trained[0], "--data.root", str(root)]) == 1
    said = capsys.readouterr().err
    assert "label 1 is 'right' there and 'up' in the data" in said


def test_checkpoint_has_all_weights(trained):
    """With a checkpoint, what a recipe starts from is not asked for: it may be gone."""
    gone = ["--model.weights", "gone.pth", "--model.model.init_args.backbone.weights", "gone.pth"]
    assert main(["video", "validate", "--config", trained[0], *gone]) == 0


def test_odd_videos_do_not_end_the_prediction_of_others(trained, tmp_path, encode, capsys, caplog):
    """Times that jump, start at the clock or lie hours apart give sensible scores; what is no video is left out."""
    steady = [40 * index for index in range(24)]
    odd = [
        encode("jump.mkv", times=[time + 37_600_000 * (index > 11) for index, time in enumerate(steady)]),
        encode("clock.mkv", times=[0, *(1_700_000_000_000 + time for time in steady[:-1])]),
        encode("lapse.mkv", times=[3_600_000 * index for index in range(6)]),
        encode("fields.mp4", options={"x264-params": "interlaced=1:tff=1"}),
    ]
    for index in range(8):
        (tmp_path / "thermal").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"thermal/{index}.png"), np.zeros((48, 64, 3), np.uint16))
    assert main(predict(trained[0], *odd, tmp_path / "thermal", encode("film.mp4"))) == 0
    assert {path.stem for path in (tmp_path / "found/scores").iterdir()} == {"jump", "clock", "lapse", "fields", "film"}
    for path in (tmp_path / "found/scores").iterdir():
        assert len(table(path)) == 2
        assert frames_of(tmp_path / f"found/videos/{path.stem}.mp4") == (6 if path.stem == "lapse" else 24)
    assert "1 of 6 videos could not be read" in capsys.readouterr().out
    for name in ("jump", "clock", "lapse"):
        assert f"The times in {tmp_path}/{name}.mkv are not used" in caplog.text


def test_training_without_validation_videos(recipe, tmp_path, monkeypatch):
    """A recipe whose `val` is null trains without validation."""
    monkeypatch.chdir(tmp_path)
    assert main(["video", "fit", "--config", recipe(tmp_path, data={"val": None})]) == 0
    assert (tmp_path / "runs/video/small/checkpoints/last.ckpt").is_file()


def test_recipe_of_before(recipe, tmp_path, monkeypatch, capsys):
    """A recipe that asks for OpenCV is told what took its place."""
    monkeypatch.chdir(tmp_path)
    assert main(["video", "fit", "--config", recipe(tmp_path, data={"backend": "opencv"})]) != 0
    assert "Use 'pyav' instead" in capsys.readouterr().err


def test_training_data_that_nobody_can_read_is_found_at_the_start(recipe, shapes, tmp_path, monkeypatch, capsys):
    """Before the first step a few videos are tried; if most of them are unusable, that is the error."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "copy"
    shutil.copytree(shapes, root)
    for path in (root / "train").iterdir():
        path.write_bytes(b"no video")
    assert main(["video", "fit", "--config", recipe(tmp_path, root=root)]) == 1
    assert "8 of 8 training videos that were tried cannot be used" in capsys.readouterr().err
