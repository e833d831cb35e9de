"""Opening videos."""

import os
import shutil
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from video.readers.frame_folder import FrameFolder
from video.readers.opening import UnreadableVideoError, open_video
from video.readers.pyav_reader import PyAVReader


def test_files_and_folders(tmp_path, encode):
    """A file is decoded, a folder is a video of its pictures at the rate given."""
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((4, 4, 3), np.uint8))
    assert isinstance(open_video(tmp_path, rate=5.0), FrameFolder)
    assert open_video(tmp_path, rate=5.0).rate == 5
    with open_video(encode("clip.mp4")) as reader:
        assert isinstance(reader, PyAVReader)


@pytest.mark.parametrize("name", ["видео ü.mp4", "12:30 %d #1?.mp4", "http:x.mp4"])
def test_names_of_any_kind(tmp_path, monkeypatch, encode, name):
    """Names beyond ASCII, and those that FFmpeg would take for addresses, are names of files, relative ones too."""
    shutil.copy(encode("clip.mp4"), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with open_video(tmp_path.relative_to(tmp_path) / name) as reader:
        assert reader.length == 24


def test_name_that_is_not_utf8(tmp_path, encode):
    """Results could not be called by such a name; it is refused."""
    path = tmp_path / os.fsdecode(b"clip\xff.mp4")
    shutil.copy(encode("clip.mp4"), path)
    with pytest.raises(UnreadableVideoError, match=r"clip\\udcff\.mp4' is not UTF-8; rename the file"):
        open_video(path)


def test_missing_file(tmp_path):
    """A missing file is named."""
    with pytest.raises(UnreadableVideoError, match=r"clip\.mp4 cannot be opened: No such file"):
        open_video(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"no video" * 50, "or no video"), (bytes(5000), "or no video")],
)
def test_files_that_are_no_videos(tmp_path, content, message):
    """Empty files, text and zeros are named with the reason."""
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(UnreadableVideoError, match=rf"clip\.mp4 .*{message}"):
        open_video(tmp_path / "clip.mp4")


def test_file_cut_off_before_its_index(encode):
    """An mp4 file has its index at the end; without it nothing can be read."""
    path = encode("clip.mp4")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UnreadableVideoError, match=r"clip\.mp4 is cut short"):
        open_video(path)


def test_sound_only(tmp_path):
    """A file without pictures is an error that thinks of that."""
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with pytest.raises(UnreadableVideoError, match=r"sound\.mp4 is no video: it has sound or text only"):
        open_video(path)


def test_unknown_backend(tmp_path):
    """A backend that does not exist is refused with those that do."""
    with pytest.raises(ValueError, match="no backend 'decord'; use one of 'pyav', 'torchcodec'"):
        open_video(tmp_path, "decord")


def test_backend_of_before(tmp_path):
    """A recipe that asks for OpenCV is told what took its place."""
    with pytest.raises(ValueError, match=r"backend 'opencv' is no more.* Use 'pyav'"):
        open_video(tmp_path, "opencv")


def test_pipes_and_devices(tmp_path):
    """What is no file is refused without waiting for what may come."""
    os.mkfifo(tmp_path / "clip.mp4")
    for path in (tmp_path / "clip.mp4", Path("/dev/null")):
        with pytest.raises(UnreadableVideoError, match="is a device or pipe"):
            open_video(path)


@pytest.mark.parametrize("name", ["no\0name.mp4", "long" * 100 + ".mp4"])
def test_names_that_no_file_can_have(tmp_path, name):
    """Such a name is that of a video that cannot be opened."""
    with pytest.raises(UnreadableVideoError, match="cannot be opened"):
        open_video(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n"),
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "ffconcat version 1.0\nfile {other}\n"),
        ("call.mp4", "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5006 RTP/AVP 96\n"),
        ("notes.txt", "hello\n" * 50),
    ],
    ids=["playlist", "playlist of addresses", "concat", "stream of a network", "text"],
)
def test_nothing_but_the_file_is_opened(tmp_path, encode, name, content):
    """Lists of other files or addresses, and texts, are no videos, and nothing that they name is opened."""
    (tmp_path / name).write_text(content.format(other=encode("other.ts")))
    with pytest.raises(UnreadableVideoError, match=rf"{name} is"):
        open_video(tmp_path / name)


def test_cover_picture(tmp_path):
    """Music with a cover is no video, and the message says what it has."""
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as file:
        sound, cover = file.add_stream("aac", rate=44100, layout="mono"), file.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 96, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        file.mux(cover.encode(av.VideoFrame(96, 64, "yuvj420p")))
        file.mux(cover.encode())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, 0
        file.mux([*sound.encode(frame), *sound.encode()])
    with pytest.raises(UnreadableVideoError, match=r"song\.mp4 is no video: it has a cover picture only"):
        open_video(path)
