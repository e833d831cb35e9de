"""Packets of a video file: time stamps of its frames, and the check of packets after a seek."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import Bool, Int64

UNKNOWN = np.iinfo(np.int64).min  # time stamp of packets without one, as in FFmpeg
SHOWN_VP8 = 0x10  # bit in the first byte of a packet of VP8 whose frame is shown, not only a reference
PLACEHOLDER = 8  # greatest size of MPEG-4's packets without picture, bytes


class Header(NamedTuple):
    """Header of a file's video stream.

    Attributes:
        codec: FFmpeg's name of the codec.
        frames: number of frames; 0 if it is not in the header.
        reorders: whether decoding order differs from presentation order.
    """

    codec: str
    frames: int = 0
    reorders: bool = False


class StrayError(Exception):
    """Error for packets after a seek that are not those of that place in the file, as in MPEG program streams."""


@dataclass(frozen=True)
class PacketList:
    """All packets of a file's video stream, in decoding order.

    Attributes:
        stamps: presentation time stamp of each packet, in the stream's time base; `UNKNOWN` for none.
        decoded: decoding time stamp of each packet, in the same form.
        sizes: size of each packet, bytes.
        keys: whether each is a key frame.
        shown: whether each frame is shown; others are only references.
        corrupt: whether each is marked as corrupt.
    """

    stamps: Int64[np.ndarray, " n"]
    decoded: Int64[np.ndarray, " n"]
    sizes: Int64[np.ndarray, " n"]
    keys: Bool[np.ndarray, " n"]
    shown: Bool[np.ndarray, " n"]
    corrupt: Bool[np.ndarray, " n"]

    def are_frames(self, header: Header) -> bool:
        """Whether each shown packet surely gives one frame, and time stamps give the presentation order.

        False for cut and joined files, time stamps in decoding order (AVI, ASF and MXF with codecs that reorder), and
        packets of MPEG-4 without picture.

        Args:
            header: header of the file.
        """
        stamps, decoded = self.stamps[self.shown], self.decoded[self.decoded != UNKNOWN]
        return not (
            not len(stamps)
            or self.corrupt.any()
            or header.frames not in (0, len(self.stamps))
            or UNKNOWN in stamps
            or len(np.unique(stamps)) < len(stamps)
            or (np.diff(decoded) <= 0).any()
            or (header.reorders and (np.diff(stamps) > 0).all())
            or (header.codec == "mpeg4" and self.sizes.min() <= PLACEHOLDER)
        )

    def checked(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        """Packets after a seek, from the first that is in the list.

        Args:
            packets: packets as they are read.

        Raises:
            StrayError: other packets follow than in the list.
        """
        place = None
        for packet in packets:
            if place is None:
                found = np.flatnonzero((self.stamps == packet.pts) & (self.sizes == packet.size))
                if len(found) != 1:
                    continue
                place = int(found[0])
            elif place == len(self.stamps) or (self.stamps[place], self.sizes[place]) != (packet.pts, packet.size):
                raise StrayError
            place += 1
            yield packet


def list_packets(packets: Iterable[av.Packet], codec: str) -> PacketList:
    """List the packets of a file.

    Args:
        packets: all packets of the video stream.
        codec: FFmpeg's name of the codec.
    """
    fields = [
        (
            UNKNOWN if packet.pts is None else packet.pts,
            UNKNOWN if packet.dts is None else packet.dts,
            packet.size,
            packet.is_keyframe,
            not packet.is_discard and (codec != "vp8" or bool(bytes(packet)[0] & SHOWN_VP8)),
            packet.is_corrupt,
        )
        for packet in packets
    ]
    stamps, decoded, sizes, *flags = np.array(fields, np.int64).reshape(-1, 6).T
    return PacketList(stamps, decoded, sizes, *(flag.astype(bool) for flag in flags))
