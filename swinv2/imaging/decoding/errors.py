"""Errors for image files that cannot be read or used."""

from pathlib import Path


class UnreadableImageError(OSError):
    """Error for a file that is missing, empty, cut short, damaged, no image, or not of the annotated size."""


class ImageDepthError(ValueError):
    """Error for an image whose values do not have 8 bits."""


class Decoding:
    """Context in which any exception of a decoder becomes the error for a damaged file.

    Args:
        path: the file to decode.
        kind: name of its format.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self.kind = kind

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Raise UnreadableImageError for any exception: damaged files make libraries raise almost all kinds."""
        if isinstance(error, Exception) and not isinstance(error, UnreadableImageError):
            raise damaged(self.path, self.kind, error) from error


def damaged(path: Path, kind: str, detail: str | Exception) -> UnreadableImageError:
    """Error for a file that ends too early or breaks the rules of its format.

    Args:
        path: the file.
        kind: name of its format.
        detail: the problem, or a library's exception, whose message is quoted if it is meant for users.
    """
    if isinstance(detail, MemoryError):
        return UnreadableImageError(f"{path} is a {kind} that needs more memory than there is; make it smaller first.")
    told = isinstance(detail, (str, OSError, RuntimeError)) and str(detail).strip()
    text = str(detail).strip().rstrip(".") if told else "its parts contradict each other"
    return UnreadableImageError(f"{path} is cut short or damaged, a {kind}: {text}. Copy or download it again.")


def unsupported(path: Path, kind: str, what: str) -> UnreadableImageError:
    """Error for an intact file with a property that photos do not have.

    Args:
        path: the file.
        kind: name of its format.
        what: the property, e.g. "8 bands".
    """
    return UnreadableImageError(
        f"{path} is a {kind} of {what}; images have grey or RGB pixels of 8 bits. Convert it first."
    )


def too_many_bands(path: Path, kind: str, bands: int, values: str) -> UnreadableImageError:
    """Error for an image with more bands than RGB and a fourth, which would be ignored.

    Args:
        path: the file.
        kind: name of its format.
        bands: number of bands.
        values: type of their values, in words.
    """
    return UnreadableImageError(
        f"{path} is a {kind} of {bands} bands with {values}; models take 3, red, green and blue. Write those 3 to a "
        "file of their own, in 8 bits, e.g. with `gdal_translate -b 3 -b 2 -b 1 -ot Byte -scale`."
    )


def wrong_depth(path: Path, values: str) -> ImageDepthError:
    """Error for an image whose values do not have 8 bits.

    Keeping the upper 8 of 16 bits would turn satellite images of 10 to 12 bits almost black.

    Args:
        path: the file.
        values: type of its values, e.g. "values of type uint16".
    """
    return ImageDepthError(
        f"{path} has {values}; models take RGB of 8 bits. Convert such images first, "
        "all in the same way, e.g. from their 2nd and 98th percentiles to 0 and 255."
    )
