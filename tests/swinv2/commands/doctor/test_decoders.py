import numpy as np
import pytest

from swinv2.commands.doctor import decoders as module
from swinv2.commands.doctor.decoders import decoders, image_problem, loading_problem


def test_formats_are_read_here():
    """Those that every installation has."""
    found = {finding.name: finding for finding in decoders()}
    assert "JPEG, PNG, TIFF, WebP" in found["images read"].text
    assert "h264" in found["videos, PyAV"].text


@pytest.mark.parametrize("fault", ["raises", "other pixels", "other size"])
def test_decoder_that_is_broken(fault, monkeypatch):
    """It raises, or gives another picture."""

    def decode(data, path):
        if fault == "raises":
            raise RuntimeError("no codec")
        return np.zeros((16, 24, 3) if fault == "other pixels" else (1, 1, 3), np.uint8)

    monkeypatch.setattr(module, "decode_image", decode)
    assert image_problem("JPEG") == ("RuntimeError: no codec" if fault == "raises" else module.OTHER)
    wrong = [finding.name for finding in decoders() if finding.wrong]
    assert "PNG" in wrong


def test_optional_packages():
    """Missing, or there."""
    assert loading_problem("no_such_module") == "not installed (no_such_module)"
    assert loading_problem("json") is None


def test_optional_package_whose_libraries_are_missing(tmp_path, monkeypatch):
    """As torchcodec without FFmpeg."""
    (tmp_path / "half_installed.py").write_text("raise RuntimeError('Could not load libtorchcodec')")
    monkeypatch.syspath_prepend(tmp_path)
    assert loading_problem("half_installed") == "does not load (RuntimeError: Could not load libtorchcodec)"
