"""Drawing of scores over a video: the most probable classes of each second, and a strip of the whole time."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from swinv2.imaging.drawing import Picture, class_colour, shorten, text_height, text_width, write
from swinv2.imaging.video_writer import write_video
from video.inference.per_second import Seconds, clock
from video.inference.sliding_clips import INSTANT, frame_bounds
from video.readers.reader import VideoReader

LEAST_SIDE, GREATEST_SIDE = 240, 1280  # of the short and the long side, pixels; others are enlarged or reduced
SHOWN = 3  # classes on the panel
NAME_SHARE = 0.5  # greatest length of a name, as a share of the width
STRIP_SHARE = 0.03  # height of the strip, as a share of the frame's
SHADE = 4  # factor by which the picture under the panel is darkened
TRACK = (70, 70, 70)  # colour of a bar's empty part
BLACK, WHITE, GREY = (0, 0, 0), (255, 255, 255), (190, 190, 190)


def annotate(reader: VideoReader, seconds: Seconds, class_names: Sequence[str], path: Path) -> None:
    """Write a video with the three most probable classes of each second, the time, and a strip coloured by class.

    It has all frames of the original, at its mean rate. Small videos are enlarged, so that the text can be read, and
    large ones reduced.

    Args:
        reader: reader of the original.
        seconds: scores of the original.
        class_names: names by label.
        path: file to write, .mp4.

    Raises:
        OSError: the file cannot be written completely.
        UnreadableVideoError: a frame cannot be read.
    """
    write_video(path, draw_frames(reader, seconds, class_names), shown_size(*reader.size), reader.rate)


def draw_frames(reader: VideoReader, seconds: Seconds, class_names: Sequence[str]) -> Iterator[Picture]:
    """Annotated frames, one in memory at a time; for the arguments see `annotate`."""
    height, width = shown_size(*reader.size)
    *times, duration = frame_bounds(reader).tolist()
    strip = draw_strip(seconds.argmax(1).tolist(), duration, height, width)
    text = text_height(np.empty((height, width, 3), np.uint8))
    names = fitting_names(seconds, class_names, round(width * NAME_SHARE), text)
    drawn = -1
    for index, time in enumerate(times):
        second = min(int(time + INSTANT), len(seconds) - 1)
        if second != drawn:
            stamp = f"{clock(second)} / {clock(round(duration))}"
            panel, drawn = draw_panel(seconds[second], names, stamp, text), second
        picture = resized(reader.read([index])[0], height, width)
        lay_over(picture, panel, text // 2)
        picture[-len(strip) :] = strip
        draw_cursor(picture, len(strip), round(time / duration * (width - 1)))
        yield picture


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the annotated video, even numbers as encoders need them."""
    factor = min(max(1, LEAST_SIDE / min(height, width)), GREATEST_SIDE / max(height, width))
    return 2 * max(1, round(height * factor / 2)), 2 * max(1, round(width * factor / 2))


def resized(frame: UInt8[np.ndarray, "_ _ 3"], height: int, width: int) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Resize a frame to the size of the annotated video."""
    how = cv2.INTER_AREA if height < len(frame) else cv2.INTER_CUBIC
    return cv2.resize(frame, (width, height), interpolation=how)


def best(row: Float32[np.ndarray, " k"]) -> list[int]:
    """Labels of the most probable classes, best first."""
    return np.argsort(-row, kind="stable")[:SHOWN].tolist()


def fitting_names(seconds: Seconds, class_names: Sequence[str], room: int, height: int) -> dict[int, str]:
    """Names of the classes that are shown at any time, cut if they are too long.

    Args:
        seconds: scores.
        class_names: names by label.
        room: greatest length of a name, pixels.
        height: height of capitals, pixels.
    """
    shown = {label for row in seconds for label in best(row)}
    return {label: shorten(class_names[label], room, height) for label in shown}


def draw_panel(row: Float32[np.ndarray, " k"], names: Mapping[int, str], stamp: str, height: int) -> Picture:
    """Draw the time, and the most probable classes with percentages and bars, on black.

    Args:
        row: probabilities of the classes.
        names: names of the classes that are shown at any time; the longest determines the panel's width.
        stamp: text of the time.
        height: height of capitals, pixels.
    """
    room = max(text_width(text, height) for text in (*names.values(), stamp))
    bar = room + height + text_width("100 %", height)  # length of a bar
    labels = best(row)
    panel = np.zeros((3 * height + round(2.75 * height * len(labels)), bar + 2 * height, 3), np.uint8)
    write(panel, stamp, height, 2 * height, height, GREY)
    for place, label in enumerate(labels):
        bottom = 4 * height + round(2.75 * height * place)
        share = f"{100 * row[label]:.0f} %"
        write(panel, names[label], height, bottom, height, WHITE)
        write(panel, share, height + bar - text_width(share, height), bottom, height, WHITE)
        top = bottom + height // 2
        for length, colour in ((bar, TRACK), (round(bar * float(row[label])), class_colour(label))):
            panel[top : top + max(3, height // 3), height : height + length] = colour
    return panel


def lay_over(picture: Picture, panel: Picture, margin: int) -> None:
    """Draw a panel in the upper left corner of a picture, which stays visible below it, but darker.

    Args:
        picture: picture to draw on.
        panel: the panel, cut if it is too large.
        margin: distance from the border, pixels.
    """
    under = picture[margin : margin + panel.shape[0], margin : margin + panel.shape[1]]
    np.maximum(under // SHADE, panel[: under.shape[0], : under.shape[1]], out=under)


def draw_strip(labels: Sequence[int], duration: float, height: int, width: int) -> Picture:
    """Draw a strip of the whole time in the colours of the classes, with a dark line above it.

    Args:
        labels: class of each second.
        duration: duration of the video, seconds.
        height: height of the frames, pixels.
        width: width of the frames, pixels.
    """
    seconds = ((np.arange(width) + 0.5) / width * duration).astype(np.int64)
    seconds = np.minimum(seconds, len(labels) - 1)  # a short rest belongs to the last second
    colours = np.array([class_colour(label) for label in labels], np.uint8)[seconds]  # (width, 3)
    strip = np.repeat(colours[None], max(8, round(height * STRIP_SHARE)), axis=0)[:height]
    strip[:2] = BLACK
    return strip


def draw_cursor(picture: Picture, height: int, column: int) -> None:
    """Mark a position in the strip at the bottom of a picture, white with a dark border.

    Args:
        picture: picture to draw on.
        height: height of the strip, pixels.
        column: the position, pixels.
    """
    half = max(1, height // 6)
    picture[-height:, max(0, column - half - 1) : column + half + 2] = BLACK
    picture[-height:, max(0, column - half + 1) : column + half] = WHITE
