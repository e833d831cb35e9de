"""What can be wrong with an image file, and the sentences that say so."""

from pathlib import Path


class UnreadableImageError(OSError):
    """A file that is missing, empty, cut short, damaged, no image, or not of the promised size."""


class ImageDepthError(ValueError):
    """An image whose values do not have 8 bits."""


class Decoding:
    """Whatever a library raises in here means that the file is damaged.

    Args:
        path: the file that is decoded.
        kind: name of its format.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self.kind = kind

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Raises UnreadableImageError for any exception: of damaged files libraries raise almost all kinds."""
        if isinstance(error, Exception) and not isinstance(error, UnreadableImageError):
            raise damaged(self.path, self.kind, error) from error


def damaged(path: Path, kind: str, detail: str | Exception) -> UnreadableImageError:
    """The error of a file that ends too early or does not hold what its format demands.

    Args:
        path: the file.
        kind: name of its format.
        detail: what is wrong with it, or what a library raised, whose words are told where they are meant for users.
    """
    if isinstance(detail, MemoryError):
        return UnreadableImageError(f"{path} is a {kind} that needs more memory than there is; make it smaller first.")
    told = isinstance(detail, (str, OSError, RuntimeError)) and str(detail).strip()
    text = str(detail).strip().rstrip(".") if told else "its parts contradict each other"
    return UnreadableImageError(f"{path} is cut short or damaged, a {kind}: {text}. Copy or download it again.")


def unsupported(path: Path, kind: str, what: str) -> UnreadableImageError:
    """The error of a whole file that has something that no photo has.

    Args:
        path: the file.
        kind: name of its format.
        what: it has, e.g. "8 bands".
    """
    return UnreadableImageError(
        f"{path} is a {kind} of {what}; images have grey or RGB pixels of 8 bits. Convert it first."
    )


def too_many_bands(path: Path, kind: str, bands: int, values: str) -> UnreadableImageError:
    """The error of an image of more channels than red, green, blue and one that is left out.

    Args:
        path: the file.
        kind: name of its format.
        bands: their number.
        values: their type.
    """
    return UnreadableImageError(
        f"{path} is a {kind} of {bands} bands with {values}; models take 3, red, green and blue. Write those 3 to a "
        "file of their own, in 8 bits, e.g. with `gdal_translate -b 3 -b 2 -b 1 -ot Byte -scale`."
    )


def wrong_depth(path: Path, values: str) -> ImageDepthError:
    """The error of an image whose values do not have 8 bits.

    Dropping the lower bits of 16 would leave satellite images of 10 to 12 bits almost black.

    Args:
        path: the file.
        values: what they have instead, e.g. "values of type uint16".
    """
    return ImageDepthError(
        f"{path} has {values}; models take RGB of 8 bits. Convert such images first, "
        "all in the same way, e.g. from their 2nd and 98th percentiles to 0 and 255."
    )
