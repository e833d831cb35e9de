"""A video with its scores drawn over it."""

import av
import numpy as np
import pytest

from swinv2.imaging.drawing import class_colour
from video.inference.annotation import annotate, draw_cursor, draw_frames, draw_panel, draw_strip, lay_over, shown_size
from video.readers.opening import open_video
from video.readers.reader import VideoReader

NAMES = ["walking", "eating ice cream", "running", "sitting"]


class Plain(VideoReader):
    """Frames of one grey, noted when they are read."""

    def __init__(self, length, size=(240, 320), rate=10.0):
        self.length, self.size, self.rate = length, size, rate
        self.asked = []

    def close(self):
        """Nothing is open."""

    def read(self, indices):
        """Grey frames."""
        self.asked.append(list(indices))
        return np.full((len(indices), *self.size, 3), 120, np.uint8)


def seconds_of(*labels):
    """Scores by the second of which each has one probable class."""
    rows = np.full((len(labels), len(NAMES)), 0.1, np.float32)
    rows[np.arange(len(labels)), labels] = 0.7
    return rows


def near(colour):
    """Equal up to what encoding changes."""
    return pytest.approx(np.array(colour), abs=45)


def test_all_frames_in_their_size(tmp_path):
    """The annotated video has the frames, the size and the rate of the original."""
    path = tmp_path / "annotated.mp4"
    annotate(Plain(25), seconds_of(0, 1, 2), NAMES, path)
    with open_video(path) as reader:
        assert (reader.length, reader.size, reader.rate) == (25, (240, 320), 10.0)
        frame = reader.read([15])[0]
    assert frame[200, 300] == near([120, 120, 120])
    assert [frame[237, column] for column in (50, 100, 240, 310)] == [
        near(class_colour(label)) for label in (0, 0, 1, 2)
    ]


def test_rest_of_a_second(tmp_path):
    """A few milliseconds after the last second, as 150 frames at 29.97 per second leave them, are shown with it."""
    path = tmp_path / "annotated.mp4"
    annotate(Plain(150, (240, 640), rate=30000 / 1001), seconds_of(0, 1, 2, 3, 2), NAMES, path)
    with open_video(path) as reader:
        assert (reader.length, reader.size) == (150, (240, 640))
        assert reader.read([149])[0, 237, 600] == near(class_colour(2))


def test_encoded_video(tmp_path, encode):
    """A video with uneven times keeps all its frames, too, at their mean rate."""
    path = tmp_path / "annotated.mp4"
    with open_video(encode("uneven.mp4", times=[0, 40, 500, 1200, 1240, 1280])) as reader:
        annotate(reader, seconds_of(0, 1), NAMES, path)
        rate = reader.rate
    with open_video(path) as annotated:
        assert (annotated.length, annotated.size) == (6, (240, 360))
        assert annotated.rate == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((240, 320), (240, 320)),
        ((1280, 720), (1280, 720)),
        ((1080, 1920), (720, 1280)),
        ((3840, 2160), (1280, 720)),
        ((128, 128), (240, 240)),
        ((241, 333), (240, 332)),
        ((64, 1920), (42, 1280)),
        ((1, 3000), (2, 1280)),
    ],
)
def test_shown_size(size, shown):
    """Large videos are made smaller, small ones larger, and sides are even."""
    assert shown_size(*size) == shown


def test_one_frame_at_a_time():
    """Frames are read in order, each when it is drawn."""
    reader = Plain(12)
    frames = draw_frames(reader, seconds_of(0, 1), NAMES)
    next(frames)
    assert reader.asked == [[0]]
    assert len(list(frames)) == 11
    assert reader.asked == [[index] for index in range(12)]


def test_panel_changes_with_the_second():
    """The same second has the same panel, the next one another, as frames are timed."""
    corners = [frame[:120, :160] for frame in draw_frames(Plain(20), seconds_of(0, 1), NAMES)]
    changes = [index for index in range(1, 20) if not np.array_equal(corners[index], corners[index - 1])]
    assert changes == [10]


def test_cursor_moves_from_left_to_right():
    """The middle of the cursor is at the share of the time that has passed."""
    columns = []
    for frame in draw_frames(Plain(11), seconds_of(0, 0), NAMES):
        columns.append(np.flatnonzero((frame[-1] == 255).all(1)).mean())
    assert columns[0] == pytest.approx(0, abs=1)
    assert columns == pytest.approx(np.arange(11) / 11 * 319, abs=1)


def test_strip_shows_the_class_of_each_second():
    """Each second takes its share of the width, a last one that is not full less."""
    strip = draw_strip([2, 0, 1], 2.5, 240, 100)
    assert [tuple(strip[-1, column].tolist()) for column in (0, 39, 40, 79, 80, 99)] == [
        class_colour(label) for label in (2, 2, 0, 0, 1, 1)
    ]
    assert strip[:2].max() == 0


def test_bars_are_as_long_as_probabilities():
    """The best classes come first, each with a bar in its colour."""
    row = np.array([0.25, 0.5, 0.05, 0.2], np.float32)
    panel = draw_panel(row, dict(enumerate(NAMES)), "0:01 / 0:09", 10)
    whole = panel.shape[1] - 20
    lengths = [(panel == np.array(class_colour(label))).all(2).sum(1).max() for label in range(4)]
    assert lengths == [round(0.25 * whole), round(0.5 * whole), 0, round(0.2 * whole)]
    rows = [np.flatnonzero((panel == np.array(class_colour(label))).all(2).any(1)).min() for label in (1, 0, 3)]
    assert rows == sorted(rows)


def test_panel_of_fewer_classes():
    """Two classes are two lines."""
    names = dict(enumerate(NAMES))
    two, four = (draw_panel(np.full(count, 0.25, np.float32), names, "0:00 / 0:01", 10) for count in (2, 4))
    assert four.shape[0] - two.shape[0] in (27, 28)
    assert four.shape[1] == two.shape[1]


def test_picture_is_seen_through_the_panel():
    """Under the panel a picture is darker; beside it, it is as it was; what has no room is left out."""
    picture, panel = np.full((50, 40, 3), 200, np.uint8), np.zeros((20, 60, 3), np.uint8)
    panel[5] = 255
    lay_over(picture, panel, 4)
    assert [picture[row, 20, 0] for row in (3, 4, 9, 23, 24)] == [200, 50, 255, 50, 200]
    assert picture[10, :4].min() == 200


@pytest.mark.parametrize("column", [0, 1, 20, 38, 39])
def test_cursor_at_the_borders(column):
    """The cursor is seen wherever it is, in the strip only."""
    picture = np.full((30, 40, 3), 100, np.uint8)
    draw_cursor(picture, 10, column)
    assert (picture[-10:, column] == 255).all()
    assert (picture[:-10] == 100).all()


def test_tiny_and_narrow_videos(tmp_path):
    """A video that is too narrow for panel and strip is written all the same."""
    annotate(Plain(3, (4, 1400)), seconds_of(0), NAMES, tmp_path / "narrow.mp4")
    with av.open(str(tmp_path / "narrow.mp4")) as file:
        assert [(frame.height, frame.width) for frame in file.decode(video=0)] == [(4, 1280)] * 3


def test_folder_that_is_missing(tmp_path):
    """A file that cannot be written is an error."""
    with pytest.raises(OSError, match="does the folder exist"):
        annotate(Plain(3), seconds_of(0), NAMES, tmp_path / "missing" / "annotated.mp4")
