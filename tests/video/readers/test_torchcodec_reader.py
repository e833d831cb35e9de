"""The torchcodec backend: on a stand-in of its interface that decodes with PyAV, and on itself where it loads."""

import importlib
import sys
from types import ModuleType, SimpleNamespace

import av
import numpy as np
import pytest
import torch

from video.readers.opening import open_video
from video.readers.reader import UnreadableVideoError
from video.readers.torchcodec_reader import TorchCodecReader


class StandIn:
    """What the backend uses of `torchcodec.decoders.VideoDecoder`."""

    def __init__(self, source, *, dimension_order, num_ffmpeg_threads, seek_mode):
        assert (dimension_order, num_ffmpeg_threads, seek_mode) == ("NHWC", 1, "exact")
        try:
            with av.open(source) as file:
                frames = list(file.decode(video=0))
        except av.InvalidDataError as error:
            raise RuntimeError("Could not open input file") from error
        self.frames = torch.from_numpy(np.stack([frame.to_ndarray(format="rgb24") for frame in frames]))
        self.seconds = torch.tensor([frame.time for frame in frames], dtype=torch.float64)
        self.metadata = SimpleNamespace(average_fps=25.0, rotation=None)

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, index):
        return self.frames[index]

    def get_frames_at(self, indices):
        return SimpleNamespace(data=self.frames[indices], pts_seconds=self.seconds[indices])


def loads():
    """Whether torchcodec itself is there and finds FFmpeg."""
    try:
        return importlib.import_module("torchcodec.decoders") is not None
    except (ImportError, OSError, RuntimeError):
        return False


@pytest.fixture
def stand_in(monkeypatch):
    """Puts the stand-in where torchcodec would be."""
    module = ModuleType("torchcodec.decoders")
    module.VideoDecoder = StandIn
    monkeypatch.setitem(sys.modules, "torchcodec", ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", module)


@pytest.fixture(params=["stand-in", "torchcodec"] if loads() else ["stand-in"])
def decoder(request):
    """Each decoder that there is."""
    if request.param == "stand-in":
        request.getfixturevalue("stand_in")


def test_backends_agree(decoder, encode):
    """Frames, sizes, rates and times are those of PyAV, frames within 2 grey levels."""
    path = encode("clip.mp4")
    indices = [23, 4, 4, 11]
    with open_video(path, "torchcodec") as one, open_video(path, "pyav") as other:
        assert isinstance(one, TorchCodecReader)
        assert (one.length, one.size, one.rate) == (other.length, other.size, other.rate)
        assert np.abs(one.read(indices).astype(int) - other.read(indices)).max() <= 2
        assert one.times(indices) == pytest.approx(other.times(indices))


def test_unreadable_file(decoder, tmp_path):
    """What is no video is named before torchcodec is asked, also what would be an address or a list of files."""
    (tmp_path / "clip.mp4").write_text("no video")
    with pytest.raises(UnreadableVideoError, match=r"clip\.mp4 is cut short, damaged, or no video"):
        open_video(tmp_path / "clip.mp4", "torchcodec")


def test_file_that_torchcodec_does_not_open(stand_in, monkeypatch, encode):
    """What torchcodec says is told with the name of the file."""

    def fail(self, source, **settings):
        raise RuntimeError("Could not open input file")

    monkeypatch.setattr(StandIn, "__init__", fail)
    with pytest.raises(UnreadableVideoError, match=r"clip\.mp4 cannot be decoded: Could not open"):
        open_video(encode("clip.mp4"), "torchcodec")


def test_frame_out_of_range(decoder, encode):
    """Numbers are checked as with other backends."""
    with open_video(encode("clip.mp4"), "torchcodec") as reader, pytest.raises(IndexError, match="no frame 24"):
        reader.read([24])


def test_damage_inside(stand_in, monkeypatch, encode):
    """Where frames cannot be decoded, torchcodec's words are told with the name of the file."""

    def fail(self, indices):
        raise RuntimeError("Requested next frame while there are no more frames left to decode")

    with open_video(encode("clip.mp4"), "torchcodec") as reader:
        monkeypatch.setattr(StandIn, "get_frames_at", fail)
        with pytest.raises(UnreadableVideoError, match=r"Frames of .*clip\.mp4 cannot be decoded: Requested"):
            reader.read([5])


def test_times_need_no_decoding(stand_in, monkeypatch, encode):
    """Where packets tell the times, no frame is decoded for them."""
    with open_video(encode("uneven.mp4", times=[0, 40, 500, 1200]), "torchcodec") as reader:
        monkeypatch.delattr(StandIn, "get_frames_at")
        assert reader.times([3, 0, 2]).tolist() == [1.2, 0.0, 0.5]


def test_times_that_packets_do_not_tell(stand_in, monkeypatch, encode, caplog):
    """Where torchcodec finds other frames than there are packets, the rate tells the times, and the log says so."""
    monkeypatch.setattr(StandIn, "__len__", lambda self: 3)
    with open_video(encode("uneven.mp4", times=[0, 40, 500, 1200]), "torchcodec") as reader:
        assert reader.times([2, 0]).tolist() == [2 / 25, 0]
    assert "frames have no times" in caplog.text


def test_frames_that_are_too_oblong(stand_in, monkeypatch, encode):
    """Frames that would fill the memory when they are resized are refused."""
    monkeypatch.setattr(StandIn, "__getitem__", lambda self, index: torch.zeros(1, 999, 3, dtype=torch.uint8))
    with pytest.raises(UnreadableVideoError, match=r"clip\.mp4 measure 1 x 999 pixels"):
        open_video(encode("clip.mp4"), "torchcodec")


def test_time_out_of_range(decoder, encode):
    """There is no time of a frame that there is not."""
    with open_video(encode("clip.mp4"), "torchcodec") as reader, pytest.raises(IndexError, match="no frame 24"):
        reader.times([24])


def test_without_torchcodec(monkeypatch, encode):
    """It is imported when asked for; if it is not there, the message says how to get it, and what else there is."""
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    with pytest.raises(ImportError, match=r"'torchcodec' does not load.*pip install -U torchcodec.*backend 'pyav'"):
        open_video(encode("clip.mp4"), "torchcodec")


def test_old_torchcodec(stand_in, monkeypatch, encode):
    """Releases that do not turn frames upright are refused."""
    make = StandIn.__init__

    def old(self, source, **settings):
        make(self, source, **settings)
        del self.metadata.rotation

    monkeypatch.setattr(StandIn, "__init__", old)
    with pytest.raises(ImportError, match=r"older than 0\.11"):
        open_video(encode("clip.mp4"), "torchcodec")
