"""The picture of windows and slots in how_it_works.md: `python docs/draw_windows.py` draws it anew."""

from itertools import pairwise
from pathlib import Path

import torch

from swinv2.windows import Windows, cut

GRID, WINDOW = (6, 10), (4, 4)  # tokens
CELL, GAP, MARGIN, TITLE = 22, 10, 16, 26  # pixels
COLOURS = ("#a6cee3", "#b2df8a", "#fdbf6f", "#cab2d6", "#fb9a99", "#ffff99")
PICTURE = Path(__file__).with_name("windows_and_slots.svg")


def cell(x: int, y: int, colour: str, text: str) -> str:
    """A square with the number of its token; an empty slot has neither colour nor number."""
    middle = CELL // 2
    return (
        f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill="{colour}" stroke="#888" stroke-width="0.5"/>'
        f'<text x="{x + middle}" y="{y + middle + 3}">{text}</text>'
    )


def outline(x: int, y: int, height: int, width: int) -> str:
    """The border of a window of some tokens."""
    size = f'width="{width * CELL}" height="{height * CELL}"'
    return f'<rect x="{x}" y="{y}" {size} fill="none" stroke="#222" stroke-width="2"/>'


def draw_grid(windows: Windows, x: int, y: int) -> list[str]:
    """The tokens in their order, coloured by window."""
    owner = windows.slot // windows.token.shape[1]
    tokens = [
        cell(x + i % GRID[1] * CELL, y + i // GRID[1] * CELL, COLOURS[owner[i]], str(i)) for i in range(len(owner))
    ]
    rows, columns = (start.tolist() for start in windows.starts)
    borders = [
        outline(x + left * CELL, y + top * CELL, bottom - top, right - left)
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]
    return tokens + borders


def draw_slots(windows: Windows, x: int, y: int) -> list[str]:
    """The slots of each window, with the token in it or empty."""
    high, wide = windows.shape
    across = len(windows.starts[1]) - 1
    drawn = []
    for number, (tokens, filled) in enumerate(zip(windows.token.tolist(), windows.filled.tolist(), strict=True)):
        left = x + number % across * (wide * CELL + GAP)
        top = y + number // across * (high * CELL + GAP)
        drawn += [
            cell(
                left + i % wide * CELL,
                top + i // wide * CELL,
                COLOURS[number] if full else "#fff",
                str(token) if full else "",
            )
            for i, (token, full) in enumerate(zip(tokens, filled, strict=True))
        ]
        drawn.append(outline(left, top, high, wide))
    return drawn


def draw() -> str:
    """The whole picture, as SVG: plain windows above shifted ones, the grid on the left, slots on the right."""
    slots_left = MARGIN + GRID[1] * CELL + 3 * MARGIN
    width, height = slots_left + 3 * (WINDOW[1] * CELL + GAP), 0
    drawn = []
    for title, shifted in (("plain", False), ("shifted", True)):
        windows = cut(GRID, WINDOW, shifted, torch.device("cpu"))
        top = height + TITLE
        drawn.append(f'<text class="title" x="{MARGIN}" y="{top - 8}">{title}: tokens of the grid</text>')
        drawn.append(f'<text class="title" x="{slots_left}" y="{top - 8}">slots of the windows</text>')
        drawn += draw_grid(windows, MARGIN, top) + draw_slots(windows, slots_left, top)
        height = top + 2 * (WINDOW[0] * CELL + GAP)
    style = "text{font:9px sans-serif;text-anchor:middle}.title{font:13px sans-serif;text-anchor:start}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">',
            f'<style>{style}</style><rect width="{width}" height="{height}" fill="#fff"/>',
            *drawn,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(draw())
