"""The packets of a video file: what they say of its frames, and whether those after a seek are the ones meant."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import Bool, Int64

UNKNOWN = np.iinfo(np.int64).min  # time stamp of what has none, as in FFmpeg
SHOWN_VP8 = 0x10  # bit in the first byte of a packet of VP8; without it, the packet is only there for others
PLACEHOLDER = 8  # bytes; MPEG-4 has packets without picture, which are no longer than this


class Header(NamedTuple):
    """What the header of a file says of its pictures.

    Attributes:
        codec: FFmpeg's name of it.
        frames: how many there are; 0 if it does not say.
        reorders: whether frames are decoded in another order than shown.
    """

    codec: str
    frames: int = 0
    reorders: bool = False


class StrayError(Exception):
    """Packets after a seek are not those of that place in the file, as of MPEG program streams."""


@dataclass(frozen=True)
class PacketList:
    """All packets of the pictures in a file, in the order of decoding.

    Attributes:
        stamps: when the picture of each is shown, in units of the file; `UNKNOWN` where the file does not tell.
        decoded: likewise when it is decoded.
        sizes: bytes.
        keys: whether decoding can begin with it.
        shown: whether its picture is shown; others are there for these to be decoded.
        corrupt: whether the file says that it is not whole.
    """

    stamps: Int64[np.ndarray, " n"]
    decoded: Int64[np.ndarray, " n"]
    sizes: Int64[np.ndarray, " n"]
    keys: Bool[np.ndarray, " n"]
    shown: Bool[np.ndarray, " n"]
    corrupt: Bool[np.ndarray, " n"]

    def are_frames(self, header: Header) -> bool:
        """Whether the decoder makes one frame of each that is shown, and stamps are in the order of showing.

        Doubtful are cut and joined files, stamps that only tell the order of decoding (AVI, ASF and MXF of codecs that
        reorder), and packets of MPEG-4 without picture.

        Args:
            header: of the file.
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
        """Packets after a seek, from the first on that is in the list.

        Args:
            packets: as they are read.

        Raises:
            StrayError: others follow than in the list.
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
    """The list of some packets.

    Args:
        packets: all of a file.
        codec: FFmpeg's name of it.
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
