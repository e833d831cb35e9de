"""Decoding of a video file by PyAV, in one pass from the beginning or from a key frame."""

import itertools
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from video.readers.packet_list import Header, PacketList, StrayError, list_packets
from video.readers.reader import MOST_PIXELS, UnreadableVideoError

NO_PICTURES = ("adf", "bin", "idf", "tty", "xbin")  # FFmpeg's formats that render any text as a video
THREADED = ("h264", "hevc", "vp9", "libdav1d", "mpeg4")  # decoders; others are fast, or conceal damage at random
METADATA = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}  # 19 always reads them


class DamagedError(Exception):
    """Error for a packet that several threads cannot decode; they lose intact frames beside it."""


class VideoFile:
    """One pass through the frames of a file.

    FFmpeg gets only the open file: a name is never an address, and a list of other files is refused.

    Args:
        path: the file.
        threads: number of decoding threads; 0 for FFmpeg's choice.

    Attributes:
        codec: name of the codec.
        threads: number of decoding threads; 1 for fast codecs.
        damage: last reason why a packet could not be read or decoded; None for no damage so far.

    Raises:
        UnreadableVideoError: the file cannot be opened, or has no moving pictures that FFmpeg decodes.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.path = path
        self.damage: str | None = None
        with named(path), ExitStack() as opened:
            source = self._source = opened.enter_context(path.open("rb"))
            self._container = opened.enter_context(open_container(source))
            self._number = pictures_of(self._container, path).index
            context = self.stream.codec_context
            self.codec = context.name  # to ask for it after a failure ends PyAV 19's process
            self.threads = threads if self.codec in THREADED else 1
            context.thread_type, context.thread_count = "AUTO", self.threads
            context.options = {"max_pixels": str(MOST_PIXELS)}
            self._opened = opened.pop_all()
        self._reading = self._decode(iter(()))

    @property
    def stream(self) -> VideoStream:
        """FFmpeg's video stream; callers must not keep it, so that the decoder ends with the file."""
        return cast(VideoStream, self._container.streams[self._number])

    @property
    def header(self) -> Header:
        """Header of the file, known before decoding."""
        codec = self.stream.codec_context
        return Header(self.codec, self.stream.frames, bool(codec.has_b_frames))

    def close(self) -> None:
        """Close the file and end its decoder's threads, for which a forked process would wait."""
        self._reading.close()
        self._opened.close()

    def list_packets(self) -> PacketList:
        """List all packets; the file is read to its end."""
        return list_packets(self._packets(), self.codec)

    def frames(self) -> Iterator[av.VideoFrame]:
        """Frames that can be decoded, in presentation order, up to the end.

        Raises:
            DamagedError: some cannot be decoded, and `threads` is not 1.
        """
        self._reading = self._decode(self._packets())
        return self._reading

    def frames_from(self, stamp: int, known: PacketList) -> Iterator[av.VideoFrame]:
        """Frames from a key frame on, or from one before it, as in `frames`.

        Args:
            stamp: time stamp of the key frame.
            known: packets of the file.

        Raises:
            DamagedError: as in `frames`.
            StrayError: packets after the seek are not those of the list.
        """
        try:
            self._container.seek(stamp, stream=self.stream)
        except Exception as error:
            raise StrayError from error
        self._reading = self._decode(known.checked(self._packets()))
        return self._reading

    def _packets(self) -> Iterator[av.Packet]:
        try:
            yield from (packet for packet in self._container.demux(self.stream) if packet.size)
        except Exception as error:  # from FFmpeg, the disk, or PyAV if streams appear that are not in the header
            self._note(error)

    def _decode(self, packets: Iterator[av.Packet]) -> Generator[av.VideoFrame]:
        for packet in itertools.chain(packets, [None]):  # None flushes the decoder
            try:
                frames = self.stream.decode(packet)
            except Exception as error:
                self._note(error)
                continue
            if any(frame.is_corrupt for frame in frames):  # FFmpeg has concealed missing parts
                self._note(ValueError("parts of frames are missing"))
            yield from frames

    def _note(self, error: Exception) -> None:
        self.damage = reason(error)
        if self.threads != 1:
            raise DamagedError(self.damage) from error


def open_container(source: BinaryIO) -> InputContainer:
    """Open the container in a file with any metadata; no other file and no address is opened."""
    return av.open(  # type: ignore[call-overload]
        source, options={"max_pixels": str(MOST_PIXELS)}, container_options={"protocol_whitelist": "none"},
        io_open=refuse, **METADATA,
    )  # fmt: skip


def refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    """Refuse to open another file or address that a file refers to."""
    raise PermissionError(f"it is a list of other files, {url!r}")


def pictures_of(container: InputContainer, path: Path) -> VideoStream:
    """First video stream that is no cover picture.

    Args:
        container: container in the file.
        path: path of the file, for the message.

    Raises:
        UnreadableVideoError: there is none.
    """
    if container.format.name in NO_PICTURES:
        raise UnreadableVideoError(f"{path} is text, no video.")
    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not streams:
        found = "a cover picture" if container.streams.video else "sound or text"
        raise UnreadableVideoError(f"{path} is no video: it has {found} only.")
    if streams[0].codec_context is None:
        raise UnreadableVideoError(f"{path} cannot be decoded: FFmpeg has no decoder for its codec. Convert it first.")
    return streams[0]


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Context that turns any error into one with the name of the file.

    Raises:
        UnreadableVideoError: on any error.
    """
    try:
        yield
    except UnreadableVideoError:
        raise
    except Exception as error:  # from PyAV, FFmpeg, the disk or memory: any error of a damaged file
        raise UnreadableVideoError(f"{path} is cut short, damaged, or no video ({reason(error)}).") from error


def reason(error: Exception) -> str:
    """Message of an error, without numbers and file names."""
    said = error.strerror if isinstance(error, (av.FFmpegError, OSError)) else None
    return said or str(error) or type(error).__name__
