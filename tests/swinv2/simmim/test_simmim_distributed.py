"""Pre-training and its validation on two processes, as on two GPUs."""

import re

import yaml

from swinv2.cli import main
from swinv2.shapes import make_classification


def test_two_processes(on_two_processes, tmp_path, monkeypatch, capsys):
    """Both find the error that one process finds, on an odd number of images; both fail if no picture can be read."""
    make_classification(tmp_path / "shapes", train=8, val=5, size=64)
    backbone = {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
    model = {"class_path": "SimMIM", "init_args": {"backbone": backbone, "mask_patch_size": 16, "norm_patch_size": 5}}
    content = {
        "model": {"model": model},
        "data": {"root": str(tmp_path / "shapes"), "batch_size": 2, "num_workers": 0, "size": 64},
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False},
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    on_two_processes("simmim", "fit", "--config", str(path))
    checkpoint = tmp_path / "runs/simmim/small/checkpoints/last.ckpt"
    validate = ["simmim", "validate", "--config", str(path), "--ckpt_path", str(checkpoint)]
    both = re.findall(r"error on hidden pixels ([\d.]+)", on_two_processes(*validate))
    pictures = tmp_path / "runs/simmim/small/validate/pictures"
    assert len(list(pictures.rglob("*.png"))) == 5  # those of the other process, too
    monkeypatch.chdir(tmp_path)
    assert main(validate) == 0
    (alone,) = re.findall(r"error on hidden pixels ([\d.]+)", capsys.readouterr().out)
    assert len(both) == 1
    assert abs(float(both[0]) - float(alone)) < 2e-4
    (tmp_path / "broken").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "broken" / name).write_bytes(b"no picture")
    predict = ["simmim", "predict", *validate[2:], "--data.images", "broken"]
    assert "None of the images could be read" in on_two_processes(*predict, code=1)
