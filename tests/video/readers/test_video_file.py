"""One pass through the pictures of a file."""

import pytest

from video.readers.reader import UnreadableVideoError
from video.readers.video_file import DamagedError, VideoFile, named, reason


@pytest.fixture
def damaged(encode):
    """A file of H.264 whose tenth frame is overwritten."""
    path = encode("clip.mp4", options={"g": "1"})
    file = VideoFile(path)
    packet = bytes([*file._packets()][9])
    file.close()
    content = path.read_bytes()
    path.write_bytes(content.replace(packet, packet[:40] + bytes(len(packet) - 40)))
    return path


def test_damage_is_told_to_one_thread(damaged):
    """It goes on behind the damage, and keeps the reason."""
    file = VideoFile(damaged, threads=1)
    assert file.damage is None
    assert len([*file.frames()]) in (23, 24)
    assert file.damage is not None
    file.close()


def test_several_threads_do_not_go_on(damaged):
    """They would lose good frames beside the damage."""
    file = VideoFile(damaged, threads=2)
    with pytest.raises(DamagedError):
        list(file.frames())
    file.close()


@pytest.mark.parametrize(("codec", "threads"), [("libx264", 3), ("mpeg4", 3), ("mjpeg", 1), ("ffv1", 1)])
def test_light_codecs_need_no_threads(encode, codec, threads):
    """Nor do those that fill up damaged parts by chance if there are several."""
    file = VideoFile(encode("clip.mkv", codec=codec, options={}), threads=3)
    assert file.threads == file.stream.codec_context.thread_count == threads
    file.close()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(5, "Input/output error"), "Input/output error"),
        (ValueError("no"), "no"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_reasons(tmp_path, error, said):
    """Whatever fails is an unreadable video with the name of the file and the reason."""
    assert reason(error) == said
    with (
        pytest.raises(UnreadableVideoError, match=rf"clip\.mp4 is cut short, damaged, or no video \({said}\)"),
        named(tmp_path / "clip.mp4"),
    ):
        raise error
