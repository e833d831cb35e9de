"""A video with its scores drawn over it: the most probable classes of the moment, and a strip of the whole time."""

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

LEAST_SIDE, GREATEST_SIDE = 240, 1280  # of the short and the long side, pixels; others are enlarged or made smaller
SHOWN = 3  # classes
NAME_SHARE = 0.5  # of the width; longer names are cut
STRIP_SHARE = 0.03  # of the height
SHADE = 4  # by which the picture under the panel gets darker
TRACK = (70, 70, 70)  # of a bar's empty part
BLACK, WHITE, GREY = (0, 0, 0), (255, 255, 255), (190, 190, 190)


def annotate(reader: VideoReader, seconds: Seconds, class_names: Sequence[str], path: Path) -> None:
    """Write a video with the three most probable classes of each second, the time, and a strip coloured by class.

    It has all frames of the original at its rate; where frames last unequally long, at their mean rate. Small videos
    come out larger, so that the text can be read, and large ones smaller.

    Args:
        reader: the original.
        seconds: its scores.
        class_names: by label.
        path: file to write, .mp4.

    Raises:
        OSError: the file cannot be written, or not all of it.
        UnreadableVideoError: a frame cannot be read.
    """
    write_video(path, draw_frames(reader, seconds, class_names), shown_size(*reader.size), reader.rate)


def draw_frames(reader: VideoReader, seconds: Seconds, class_names: Sequence[str]) -> Iterator[Picture]:
    """The annotated frames, one in memory at a time; for the arguments see `annotate`."""
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
    """Height and width in which a video of some size is shown, even numbers as encoders need them."""
    factor = min(max(1, LEAST_SIDE / min(height, width)), GREATEST_SIDE / max(height, width))
    return 2 * max(1, round(height * factor / 2)), 2 * max(1, round(width * factor / 2))


def resized(frame: UInt8[np.ndarray, "_ _ 3"], height: int, width: int) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """A frame in the size in which it is shown."""
    how = cv2.INTER_AREA if height < len(frame) else cv2.INTER_CUBIC
    return cv2.resize(frame, (width, height), interpolation=how)


def best(row: Float32[np.ndarray, " k"]) -> list[int]:
    """The most probable classes, best first."""
    return np.argsort(-row, kind="stable")[:SHOWN].tolist()


def fitting_names(seconds: Seconds, class_names: Sequence[str], room: int, height: int) -> dict[int, str]:
    """Names of the classes that are shown at any time, cut where they are too long.

    Args:
        seconds: scores.
        class_names: by label.
        room: how long a name may be, pixels.
        height: of capitals, pixels.
    """
    shown = {label for row in seconds for label in best(row)}
    return {label: shorten(class_names[label], room, height) for label in shown}


def draw_panel(row: Float32[np.ndarray, " k"], names: Mapping[int, str], stamp: str, height: int) -> Picture:
    """The time, and the most probable classes with percentages and bars, on black.

    Args:
        row: probabilities.
        names: of the classes that are shown at any time; they say how wide the panel is.
        stamp: the time.
        height: of capitals, pixels.
    """
    room = max(text_width(text, height) for text in (*names.values(), stamp))
    bar = room + height + text_width("100 %", height)  # its length
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
    """Put a panel into the upper left corner of a picture, which stays visible below it, but darker.

    Args:
        picture: drawn on.
        panel: as much of it as there is room for.
        margin: from the border, pixels.
    """
    under = picture[margin : margin + panel.shape[0], margin : margin + panel.shape[1]]
    np.maximum(under // SHADE, panel[: under.shape[0], : under.shape[1]], out=under)


def draw_strip(labels: Sequence[int], duration: float, height: int, width: int) -> Picture:
    """The whole time from left to right in the colours of the classes, with a dark line above it.

    Args:
        labels: the class of each second.
        duration: of the video, seconds.
        height: of the frames that it is for, pixels.
        width: likewise.
    """
    seconds = ((np.arange(width) + 0.5) / width * duration).astype(np.int64)
    seconds = np.minimum(seconds, len(labels) - 1)  # a short rest after the last one belongs to it
    colours = np.array([class_colour(label) for label in labels], np.uint8)[seconds]  # (width, 3)
    strip = np.repeat(colours[None], max(8, round(height * STRIP_SHARE)), axis=0)[:height]
    strip[:2] = BLACK
    return strip


def draw_cursor(picture: Picture, height: int, column: int) -> None:
    """Mark a place in the strip at the bottom of a picture, white with a dark border.

    Args:
        picture: drawn on.
        height: of the strip, pixels.
        column: the place, pixels.
    """
    half = max(1, height // 6)
    picture[-height:, max(0, column - half - 1) : column + half + 2] = BLACK
    picture[-height:, max(0, column - half + 1) : column + half] = WHITE
