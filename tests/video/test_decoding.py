"""Opening videos."""

import os
import shutil

import av
import cv2
import numpy as np
import pytest

from video.decoding import UnreadableVideoError, open_footage
from video.frame_folder import FrameFolder
from video.opencv_footage import OpenCVFootage


def test_files_and_folders(tmp_path, encode):
    """A file is decoded, a folder is a video of its pictures at the rate given."""
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((4, 4, 3), np.uint8))
    assert isinstance(open_footage(tmp_path, rate=5.0), FrameFolder)
    assert open_footage(tmp_path, rate=5.0).rate == 5
    assert isinstance(open_footage(encode("clip.mp4")), OpenCVFootage)


@pytest.mark.parametrize("name", ["видео ü.mp4", "12:30 %d #1?.mp4", "http:x.mp4"])
def test_names_of_any_kind(tmp_path, monkeypatch, encode, name):
    """Names beyond ASCII, and those that FFmpeg would take for addresses, are names of files, relative ones too."""
    shutil.copy(encode("clip.mp4"), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with open_footage(tmp_path.relative_to(tmp_path) / name) as footage:
        assert footage.length == 24


def test_name_that_is_not_utf8(tmp_path, encode):
    """Such a name crashes OpenCV; it is refused."""
    path = tmp_path / os.fsdecode(b"clip\xff.mp4")
    shutil.copy(encode("clip.mp4"), path)
    with pytest.raises(UnreadableVideoError, match=r"clip\\udcff\.mp4' is not UTF-8; rename the file"):
        open_footage(path)


def test_missing_file(tmp_path):
    """A missing file is named."""
    with pytest.raises(UnreadableVideoError, match=r"clip\.mp4 cannot be opened: No such file"):
        open_footage(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"no video" * 50, "is no video"), (bytes(5000), "is no video")],
)
def test_files_that_are_no_videos(tmp_path, content, message):
    """Empty files, text and zeros are named with the reason."""
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(UnreadableVideoError, match=rf"clip\.mp4 .*{message}"):
        open_footage(tmp_path / "clip.mp4")


def test_file_cut_off_before_its_index(encode):
    """An mp4 file has its index at the end; without it nothing can be read."""
    path = encode("clip.mp4")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UnreadableVideoError, match=r"clip\.mp4 is cut short"):
        open_footage(path)


def test_sound_only(tmp_path):
    """A file without pictures is an error that thinks of that."""
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with pytest.raises(UnreadableVideoError, match=r"sound\.mp4 .* has sound only"):
        open_footage(path)


def test_unknown_backend(tmp_path):
    """A backend that does not exist is refused with those that do."""
    with pytest.raises(ValueError, match="no backend 'decord'; use one of 'opencv', 'torchcodec'"):
        open_footage(tmp_path, "decord")
