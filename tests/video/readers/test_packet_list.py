"""Packets of video files: whether each is a frame, and whether those after a seek are known."""

from dataclasses import replace

import av
import numpy as np
import pytest

from video.readers.packet_list import UNKNOWN, Header, StrayError, list_packets
from video.readers.video_file import VideoFile


def packet(pts, size=100, dts=None, first=0x10):
    """A packet of some stamp, size and first byte."""
    made = av.Packet(bytes([first]) + bytes(size - 1))
    made.pts, made.dts = pts, pts if dts is None else dts
    return made


@pytest.fixture
def packets():
    """Five packets in the order of decoding, the last two of which are shown the other way round."""
    return list_packets([packet(stamp, dts=dts) for dts, stamp in enumerate((0, 1, 2, 4, 3))], "vp9")


def test_packets_that_are_frames(packets):
    """Each has a stamp of its own, and the header does not contradict."""
    assert packets.are_frames(Header("vp9")) and packets.are_frames(Header("h264", frames=5, reorders=True))


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        ({"stamps": np.array([0, 1, 1, 3, 2])}, {}),
        ({"stamps": np.array([0, 1, UNKNOWN, 3, 2])}, {}),
        ({"decoded": np.array([0, 1, 2, 0, 1])}, {}),
        ({"corrupt": np.array([False] * 4 + [True])}, {}),
        ({"stamps": np.arange(5)}, {"reorders": True}),
        ({"sizes": np.array([900, 100, 7, 100, 100])}, {"codec": "mpeg4"}),
        ({"shown": np.zeros(5, bool)}, {}),
        ({}, {"frames": 6}),
    ],
    ids=[
        "shared stamp", "no stamp", "times begin again", "cut", "order of decoding", "no picture", "nothing shown",
        "header",
    ],
)  # fmt: skip
def test_packets_that_may_not_be_frames(packets, change, settings):
    """Then all frames have to be decoded to know them."""
    assert not replace(packets, **change).are_frames(Header(**{"codec": "vp9", **settings}))


def test_hidden_packets_of_vp8():
    """Packets that are not shown, as VP8 has them, are no frames."""
    found = list_packets([packet(0), packet(1, first=0), packet(1, dts=2, first=0x11)], "vp8")
    assert found.shown.tolist() == [True, False, True]
    assert found.are_frames(Header("vp8"))


def test_known_packets_pass(packets):
    """From the first one that is in the list on, in its order."""
    given = [packet(7), packet(1, size=3), packet(2), packet(4), packet(3)]
    assert [one.pts for one in packets.checked(given)] == [2, 4, 3]


@pytest.mark.parametrize("stray", [packet(3), packet(4, size=99), packet(9)])
def test_stray_packets(packets, stray):
    """Another packet than the next one of the list ends the reading."""
    with pytest.raises(StrayError):
        list(packets.checked([packet(2), stray]))
    with pytest.raises(StrayError):
        list(packets.checked([packet(3), packet(5)]))


def test_seek_of_a_program_stream(encode):
    """MPEG program streams give packets other stamps after a seek, which is found out."""
    file = VideoFile(encode("clip.vob", frames=45, codec="mpeg2video", options={"g": "10", "bf": "2"}))
    known = file.list_packets()
    keys = known.stamps[known.keys].tolist()
    strays = 0
    for key in keys:
        try:
            stamps = [frame.pts for frame in file.frames_from(key, known)]
            assert {*stamps} <= {*known.stamps.tolist()}
        except StrayError:
            strays += 1
    file.close()
    assert 0 < strays < len(keys)
