"""Context manager that changes a backbone's window for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..arguments import Window
from ..backbone import SwinTransformerV2


@contextmanager
def temporary_window(backbone: SwinTransformerV2, window_size: Window | None) -> Iterator[None]:
    """Change a backbone's window within a `with` statement.

    Args:
        backbone: changed in place.
        window_size: in tokens; one number, one per axis, or one entry per stage; None changes nothing.

    Raises:
        ValueError: the numbers do not fit the axes and stages.
    """
    before = backbone.window_size
    try:
        backbone.set_window_size(before if window_size is None else window_size)
        yield
    finally:
        backbone.set_window_size(before)
