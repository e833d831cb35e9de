"""Lines of text files."""

import pytest

from swinv2.files.text_lines import Line, lines_of, read_text


def test_lines():
    """Lines have their numbers, and neither blanks at their ends nor comments; all ends of lines will do."""
    text = "\ufeffa \r\n\n# note\r#\n #b\n\t## more\nc # d"
    assert lines_of(text) == [Line(1, "a"), Line(5, "#b"), Line(7, "c # d")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\x00c", r"control character '\\x00' in line 2, 'b\\x00c'"),
        ("x" * 5000, "line of 5000 characters, line 1, 'x{60}…'"),
    ],
)
def test_lines_that_are_none(text, message):
    """What no text has is an error with the line."""
    with pytest.raises(ValueError, match=message):
        lines_of(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xfe\xff\0a", "in UTF-16; save it again in UTF-8. Help."), (b"a\n\x80", "line 2 has the byte 0x80. .* Help.")],
)
def test_other_encodings(tmp_path, content, message):
    """Another encoding is an error with the place and the way out."""
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.txt is not a text file in UTF-8.*{message}"):
        read_text(tmp_path / "a.txt", "Help.")


def test_large_file(tmp_path):
    """A file of gigabytes is refused before it is read."""
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(1 << 32)
    with pytest.raises(ValueError, match=r"not a text file of 268435456 bytes at most, it has 4294967296\. Help\."):
        read_text(tmp_path / "a.txt", "Help.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html>\n<html>404</html>", "a page of HTML or XML"),
        (b'<View>\n<Label value="cat"/>\n</View>\n', "a page of HTML or XML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "run git lfs pull"),
        (b"PK\x03\x04rest", "a table of Excel; .* CSV"),
        (b"\x1f\x8brest", "gunzip"),
        (b"MATLAB 5.0 MAT-file", "a file of MATLAB"),
    ],
)
def test_files_that_are_no_text(tmp_path, content, message):
    """What is no list of anybody's is named for what it is; a name in angle brackets is a text."""
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.txt is not a text file but .*{message}.* Help\."):
        read_text(tmp_path / "a.txt", "Help.")
    (tmp_path / "a.txt").write_text("<unknown>\n<sky>\n")
    assert read_text(tmp_path / "a.txt", "Help.") == "<unknown>\n<sky>\n"


def test_line_for_excel():
    """A first line by which Excel is told the separator does not count."""
    assert lines_of("sep=;\na;b\nsep=;\n") == [Line(2, "a;b"), Line(3, "sep=;")]
