"""Frames of video files by their number, beside those that PyAV decodes one after the other."""

import logging
import struct
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from video.readers import pyav_reader
from video.readers.pyav_reader import PyAVReader
from video.readers.reader import UnreadableVideoError

FORMATS = {
    "h264.mp4": {},
    "open_gop.mp4": {"options": {"g": "10", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}},
    "h264.mkv": {},
    "h264.ts": {},
    "h264.avi": {},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4.mov": {"codec": "mpeg4"},
    "mjpeg.avi": {"codec": "mjpeg", "options": {}},
    "vp8.webm": {"codec": "libvpx", "options": {"g": "10", "deadline": "realtime"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "10", "deadline": "realtime", "cpu-used": "8"}},
}
UNEVEN = [0, 40, 80, 500, 510, 520, 530, 900, 940, 980, 1000, 1300, 1310, 1320, 1330, 2000, 2040, 2080, 2100, 2110]


def differs(ours, theirs):
    """The greatest difference in grey levels."""
    return np.abs(ours.astype(int) - theirs.astype(int)).max()


def read(path, indices):
    """Some frames of a file."""
    with PyAVReader(path) as reader:
        return reader.read(indices)


@pytest.mark.parametrize("name", FORMATS)
def test_frames_equal_those_of_pyav(encode, decode, name):
    """All frames, in any order and repeatedly, are those of PyAV within 2 grey levels, and there are no others."""
    path = encode(name, frames=45, **FORMATS[name])
    theirs = decode(path)
    with PyAVReader(path) as reader:
        assert (reader.length, reader.size, reader.rate) == (45, (64, 96), 25)
        assert differs(reader.read(range(45)), theirs) <= 2
        indices = [44, 3, 3, 17, 0, 44, 21]
        assert differs(reader.read(indices), theirs[indices]) <= 2


@pytest.mark.parametrize("codec", ["mp4v.mp4", "MJPG.avi", "XVID.avi", "VP80.webm", "vp09.mp4"])
def test_files_of_opencv(tmp_path, decode, codec):
    """What OpenCV writes is read with all its frames."""
    path = tmp_path / codec
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*path.stem), 10, (96, 64))
    for index in range(20):
        writer.write(np.full((64, 96, 3), 10 * index, np.uint8))
    writer.release()
    frames = read(path, range(20))
    assert differs(frames, decode(path)) <= 2
    assert frames.mean(axis=(1, 2, 3)) == pytest.approx(np.arange(20) * 10, abs=4)


@pytest.mark.parametrize("colorspace", [1, 5])
def test_colours_are_converted_as_the_file_says(encode, decode, colorspace):
    """Files that name BT.709 (1) or BT.601 (5) as the meaning of their colours are converted by it."""
    path = encode("clip.mp4", frames=3, options={"colorspace": str(colorspace)})
    assert differs(read(path, range(3)), decode(path)) <= 2


INTERLACED = {
    "h264.mp4": {"options": {"g": "10", "x264-params": "interlaced=1:tff=1"}},
    "dvd.ts": {"codec": "mpeg2video", "options": {"g": "10", "flags": "+ildct+ilme"}},
    "xvid.avi": {"codec": "mpeg4", "options": {"g": "10", "flags": "+ildct+ilme"}},
    "prores.mov": {"codec": "prores_ks", "pixels": "yuv422p10le", "options": {"flags": "+ildct"}},
}


@pytest.mark.parametrize("name", INTERLACED)
def test_interlaced_frames(encode, decode, pictures, name):
    """Frames of two fields are what was encoded, whole and each at its place."""
    path = encode(name, **INTERLACED[name])
    with PyAVReader(path) as reader:
        frames = reader.read(range(reader.length))
        assert differs(reader.read([20])[0], frames[20]) == 0
    assert differs(frames, decode(path)) <= 2
    assert np.abs(frames.astype(int) - pictures(24)).mean((1, 2, 3)).max() < 14


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("full.mp4", {"options": {"color_range": "2"}}),
        ("hlg.mp4", {"options": {"colorspace": "9", "color_primaries": "9", "color_trc": "18"}}),
        ("p3.mp4", {"options": {"colorspace": "1", "color_primaries": "12", "color_trc": "1"}}),
        ("ten.mkv", {"pixels": "yuv422p10le", "options": {}}),
        ("grey.mp4", {"pixels": "gray", "options": {}}),
        ("alpha.mov", {"codec": "prores_ks", "pixels": "yuva444p10le", "options": {}}),
        ("rgb.avi", {"codec": "png", "pixels": "rgb24", "options": {}}),
        ("sixteen.mkv", {"codec": "ffv1", "pixels": "gbrp16le", "options": {}}),
        ("moving.gif", {"codec": "gif", "pixels": "rgb8", "options": {}}),
        ("av1.mp4", {"codec": "libsvtav1", "options": {"preset": "12"}}),
        ("phone.3gp", {"codec": "mpeg4", "options": {}}),
        ("camera.mts", {"options": {}, "form": "mpegts"}),
        ("film.wmv", {"codec": "wmv2", "options": {}}),
        ("old.mpg", {"codec": "mpeg1video", "options": {"g": "10", "bf": "2"}}),
    ],
)
def test_frames_of_any_kind(encode, decode, name, settings):
    """Depths, ranges, alpha, grey, HDR and other codecs: frames are those of PyAV, in any order."""
    path = encode(name, **settings)
    theirs = decode(path)
    with PyAVReader(path) as reader:
        assert reader.length == len(theirs) == 24
        assert differs(reader.read(range(24)), theirs) <= 2
        assert differs(reader.read([21, 3]), theirs[[21, 3]]) <= 2


def test_colours_that_are_not_converted(encode):
    """They make a video unreadable, and the message names them."""
    with pytest.raises(
        UnreadableVideoError, match=r"Frame 0 of .*clip\.mp4 .*yuv420p, colours YCgCo .*Encode the video"
    ):
        PyAVReader(encode("clip.mp4", frames=3, options={"colorspace": "8"}))


@pytest.mark.parametrize("name", ["h264.mp4", "open_gop.mp4", "mpeg4.mov", "vp9.webm"])
def test_every_frame_is_exact_after_seeking(monkeypatch, encode, decode, name):
    """Frames that are read alone, far forward or back, by key frames, are the same as in one go."""
    monkeypatch.setattr(pyav_reader, "LONG", 5)
    path = encode(name, frames=60, **FORMATS[name])
    theirs = decode(path)
    with PyAVReader(path) as reader:
        for index in np.random.default_rng(0).permutation(60)[:30]:
            assert differs(reader.read([int(index)])[0], theirs[index]) <= 2, index


def test_only_long_ways_are_sought(monkeypatch, encode):
    """Far ahead and on going back decoding begins at a key frame, else no frame is skipped."""
    keys, seek = [], PyAVReader._seek
    monkeypatch.setattr(PyAVReader, "_seek", lambda reader, key: keys.append(key) or seek(reader, key))
    with PyAVReader(encode("clip.mp4", frames=150, options={"g": "10", "sc_threshold": "0"})) as reader:
        keys.clear()
        for indices in ([0, 12, 24], [25], [41]):
            reader.read(indices)
        assert keys == []
        reader.read([149])
        reader.read([75])
    assert keys == [140, 70]


@pytest.mark.parametrize("damage", ["nowhere", "elsewhere"])
def test_seeking_that_goes_wrong_decodes_from_the_start(monkeypatch, encode, decode, damage):
    """If FFmpeg does not seek, or other packets follow than are known, all frames before are decoded."""
    path = encode("clip.mp4", frames=60)
    with PyAVReader(path) as reader:
        if damage == "elsewhere":
            sizes = reader._packets.sizes.copy()
            sizes[45:] += 1
            reader._packets = replace(reader._packets, sizes=sizes)
        else:
            monkeypatch.setattr(type(reader._timeline), "find", lambda timeline, stamp: None)
        assert differs(reader.read([50])[0], decode(path)[50]) <= 2


@pytest.mark.parametrize("name", ["uneven.mp4", "uneven.mkv"])
def test_variable_frame_rate(encode, decode, name):
    """Frames, times and mean rate are those of the frames there are, not those of a steady rate."""
    path = encode(name, times=UNEVEN)
    with PyAVReader(path) as reader:
        assert reader.length == 20
        assert reader.times(range(20)) == pytest.approx(np.array(UNEVEN) / 1000, abs=1e-3)
        assert reader.rate == pytest.approx(19 / 2.11, rel=1e-3)
        assert differs(reader.read([15, 7, 19]), decode(path)[[15, 7, 19]]) <= 2


def test_times_where_the_file_has_none(encode):
    """A bare stream of pictures is shown at the rate in its header."""
    with PyAVReader(encode("bare.h264")) as reader:
        assert (reader.length, reader.rate) == (24, 25)
        assert reader.times([0, 5, 5]) == pytest.approx([0, 0.2, 0.2])


@pytest.mark.parametrize(
    ("matrix", "turns"),
    [((0, 1, -1, 0), 3), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)],
)
def test_frames_are_upright(encode, decode, matrix, turns):
    """The display matrix of a telephone's video is obeyed, as in all players."""
    path = encode("clip.mp4", frames=3)
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 44
    a, b, c, d = (65536 * value for value in matrix)
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    theirs = np.rot90(decode(path), turns, axes=(1, 2))
    with PyAVReader(path) as reader:
        assert reader.size == theirs.shape[1:3]
        assert differs(reader.read(range(3)), theirs) <= 2


@pytest.mark.parametrize(
    ("turned", "expected"),
    [
        ((90,), lambda frames: np.rot90(frames, 1, (1, 2))),
        ((0, True), lambda frames: frames[:, :, ::-1]),
        ((0, False, True), lambda frames: frames[:, ::-1]),
        ((90, True), lambda frames: np.rot90(frames, 1, (1, 2))[:, :, ::-1]),
    ],
    ids=["turned", "mirrored", "upside down", "turned and mirrored"],
)
def test_mirrored_frames(encode, decode, turned, expected):
    """Front cameras' videos are shown as players show them."""
    path = encode("clip.mp4", frames=3, turned=turned)
    assert differs(read(path, range(3)), expected(decode(path))) <= 2


def test_frames_of_a_joined_file(encode, decode):
    """Behind each other, two recordings are one video; times that begin again are not used, and the log tells."""
    path = encode("clip.ts", frames=30)
    path.write_bytes(2 * path.read_bytes())
    theirs = decode(path)
    with PyAVReader(path) as reader:
        assert reader.length == len(theirs) == 60
        assert differs(reader.read([59, 4, 31]), theirs[[59, 4, 31]]) <= 2
        assert reader.times([0, 59]) == pytest.approx([0, 59 / 25])


def test_recording_that_begins_amid(encode, decode):
    """Of a stream that begins before a key frame, the frames from that on are all there are."""
    path = encode("clip.ts", frames=60)
    path.write_bytes(path.read_bytes()[3000:])
    theirs = decode(path)
    with PyAVReader(path) as reader:
        assert reader.length == len(theirs) < 60
        assert differs(reader.read(range(reader.length)), theirs) <= 2


def test_frames_that_are_too_large(tmp_path, encode):
    """A header that promises a picture of gigabytes is an error, and takes no memory."""
    path = encode("clip.gif", frames=3, codec="gif", options={}, pixels="rgb8")
    content = bytearray(path.read_bytes())
    content[6:10] = struct.pack("<HH", 60000, 60000)
    path.write_bytes(content)
    with pytest.raises(UnreadableVideoError, match=r"clip\.gif measure 60000 x 60000|clip\.gif cannot be decoded"):
        PyAVReader(path)


def test_frames_hidden_by_an_edit_list(encode, decode):
    """Frames that are only there for decoding others, as after cutting without encoding, do not count."""
    path = encode(
        "clip.mp4", times=[40 * index - 520 for index in range(40)]
    )  # shown from frame 13 on; keys at 0, 10, …
    with av.open(str(path)) as file:
        assert file.streams.video[0].frames == 40
    with PyAVReader(path) as reader:
        assert reader.length == 27
        assert differs(reader.read(range(27)), decode(path)) <= 2


def test_header_that_counts_one_frame_too_many(encode, decode):
    """An AVI file whose header promises 25 frames has the 24 that can be decoded."""
    path = encode("clip.avi", codec="mpeg4")
    content = bytearray(path.read_bytes())
    for chunk, offset in ((b"avih", 24), (b"strh", 40)):
        place = content.index(chunk) + offset
        assert content[place] == 24
        content[place] = 25
    path.write_bytes(content)
    with av.open(str(path)) as file:
        assert file.streams.video[0].frames == 25
    with PyAVReader(path) as reader:
        assert reader.length == 24
        assert differs(reader.read(range(24)), decode(path)) <= 2


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.webm", "clip.mkv"])
def test_file_that_is_cut_short(encode, decode, name):
    """Of a file that ends in its middle, the frames that can be decoded are all there are."""
    codec = {"clip.avi": "mjpeg", "clip.webm": "libvpx"}.get(name, "libx264")
    path = encode(name, frames=60, codec=codec, options={"g": "10"}, movflags="faststart")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    theirs = decode(path)
    assert 10 < len(theirs) < 50
    with PyAVReader(path) as reader:
        assert reader.length == len(theirs)
        assert differs(reader.read(range(reader.length)), theirs) <= 2


@pytest.fixture
def destroy(encode):
    """Makes an AVI file of 24 JPEG pictures and overwrites some of them with zeros."""

    def make(numbers):
        path = encode("clip.avi", codec="mjpeg", options={})
        content = bytearray(path.read_bytes())
        place = content.index(b"movi")
        for number in range(24):
            place = content.index(b"00dc", place)
            size = int.from_bytes(content[place + 4 : place + 8], "little")
            if number in numbers:
                content[place + 8 : place + 8 + size] = bytes(size)
            place += 8 + size
        path.write_bytes(content)
        return path

    return make


def test_damage_inside(encode, decode, destroy, caplog):
    """For frames that cannot be decoded comes the next that can; all others are in their place, and the log tells."""
    whole = decode(encode("whole.avi", codec="mjpeg", options={}))
    with PyAVReader(destroy([12, 13])) as reader, caplog.at_level(logging.WARNING):
        assert differs(reader.read([3, 12, 13, 14, 23]), whole[[3, 14, 14, 14, 23]]) <= 2
        assert reader.length == 24
    assert "frame 14 stands in for those after 11" in caplog.text


def test_damage_to_the_end(encode, decode, destroy, caplog):
    """Behind damage up to the end comes the last frame before it; the length is corrected, and the log tells."""
    whole = decode(encode("whole.avi", codec="mjpeg", options={}))
    with PyAVReader(destroy(range(12, 24))) as reader, caplog.at_level(logging.WARNING):
        assert differs(reader.read([20, 3, 11]), whole[[11, 3, 11]]) <= 2
        assert reader.length == 12
        assert differs(reader.read([23]), whole[[11]]) <= 2
    assert "only 12 of 24 frames can be decoded" in caplog.text


def test_damage_from_the_start(destroy):
    """A good header whose first picture cannot be decoded is an error that names file and codec."""
    with pytest.raises(UnreadableVideoError, match=r"first frame of .*clip\.avi cannot be decoded.*'mjpeg'"):
        PyAVReader(destroy(range(24)))


@pytest.fixture
def join(encode):
    """Puts the frames of a video and as many of another shape, white above and black below, behind each other."""

    def write(name, codec):
        path = encode(name, frames=12, codec=codec, options={})
        other = av.CodecContext.create(codec, "w")
        other.width, other.height, other.time_base, other.framerate = 48, 80, Fraction(1, 25), 25
        other.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        pixels = np.repeat(np.array([255, 0], np.uint8), 40 * 48 * 3).reshape(80, 48, 3)
        packets = []
        for index in range(12):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = index
            packets += other.encode(frame)
        path.write_bytes(path.read_bytes() + b"".join(map(bytes, [*packets, *other.encode()])))
        return path

    return write


@pytest.mark.parametrize(("name", "codec"), [("joined.mjpeg", "mjpeg"), ("joined.h264", "libx264")])
def test_frames_that_change_size(join, name, codec):
    """Those behind the change are whole, in the size of the first, and those before it as they were."""
    path = join(name, codec)
    with PyAVReader(path) as reader:
        assert (reader.length, reader.size) == (24, (64, 96))
        frames = reader.read(range(24))
    with av.open(str(path)) as file:
        theirs = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert {frame.shape for frame in theirs} == {(64, 96, 3), (80, 48, 3)}
    assert differs(frames[:12], np.stack(theirs[:12])) <= 2
    assert frames[12:, :28].min() > 240 and frames[12:, 36:].max() < 15


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
def test_metadata_that_is_not_utf8(encode, name):
    """Titles in other encodings do not hinder reading."""
    path = encode(name, codec="mpeg4", metadata={"title": "title that is broken"})
    content = path.read_bytes()
    assert b"title that is broken" in content
    path.write_bytes(content.replace(b"title that is broken", b"title \xff\xfe\xe9 is broken"))
    assert read(path, [23]).shape == (1, 64, 96, 3)


@pytest.mark.parametrize("indices", [[24], [0, -1], []])
def test_numbers_that_no_frame_has(encode, indices):
    """Frames outside of the video, and none, are an error."""
    with PyAVReader(encode("clip.mp4")) as reader, pytest.raises(IndexError, match=r"There is no frame|No frames"):
        reader.read(indices)


@pytest.mark.parametrize(("worker", "threads"), [(True, 1), (None, 0)])
def test_threads(monkeypatch, encode, worker, threads):
    """A process that loads data decodes in one thread, another one in as many as FFmpeg finds right."""
    monkeypatch.setattr(pyav_reader, "get_worker_info", lambda: worker)
    with PyAVReader(encode("clip.mp4")) as reader:
        assert reader._file.threads == threads
        assert worker is None or reader._file.stream.codec_context.thread_count == 1


def test_file_is_closed(encode):
    """Leaving the `with` closes the file, and keeps no decoder, whose threads a forked process would wait for."""
    with PyAVReader(encode("clip.mp4")) as reader:
        reader.read([7])
        file = reader._file
        assert not file._source.closed and len(file._container.streams) == 1
    assert file._source.closed and len(file._container.streams) == 0
    assert next(reader._frames, None) is None


@pytest.mark.parametrize(("flags", "told"), [("faststart", " of 45"), ("frag_keyframe+empty_moov", "")])
def test_lost_end_is_told(encode, caplog, flags, told):
    """The log says how many frames are there of a file whose end is missing, and of how many by its header."""
    path = encode("cut.mp4", frames=45, options={"g": "10"}, movflags=flags)
    content = path.read_bytes()
    path.write_bytes(content[: (content.rfind(b"mdat") + len(content)) // 2])
    with PyAVReader(path) as reader:
        assert f"cut.mp4 is cut short: only {reader.length}{told} frames of it are there" in caplog.text


def test_codec_that_does_not_open(encode):
    """Its name is told; with PyAV 19 the process ended where it was asked for after the failure."""
    with pytest.raises(UnreadableVideoError, match="codec 'rawvideo'"):
        PyAVReader(encode("raw.mov", codec="rawvideo", options={}))
