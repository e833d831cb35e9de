"""Files that are no recipes, or lose a part of what they say."""

import pytest
import yaml

from swinv2.commands.recipe_files import WrongRecipeError, check_recipes, repeated

GOOD = "a: &a {lr: 1, decay: 2}\nb: {<<: *a, lr: 3}\nc: [{lr: 1}, {lr: 2}]\n"
BOMB = b"a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 12)
)


@pytest.mark.parametrize("content", [GOOD.encode(), b"\xef\xbb\xbf" + GOOD.encode(), b"a: [1\n", b'{"a": 1}'])
def test_recipes_and_what_the_parser_explains_pass(tmp_path, content):
    """The same key in different mappings is no repetition, and YAML that is broken the parser shows better."""
    (tmp_path / "recipe.yaml").write_bytes(content)
    check_recipes([tmp_path / "recipe.yaml"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "recipe.yaml is empty; write keys"),
        (b"# nothing yet\n", "recipe.yaml is empty; write keys"),
        (b"- a\n- b\n", "recipe.yaml holds a list, no keys"),
        (b"hello\n", "recipe.yaml holds a text, no keys"),
        (GOOD.encode("utf-16"), r"recipe.yaml is no text in UTF-8 \(byte 0 is 0xff\)"),
        ("# é\na: 1".encode("latin-1"), r"recipe.yaml is no text in UTF-8 \(byte 2 is 0xe9\)"),
        (b"a: 1\nb: 2\na: 3\n", "the key 'a' twice, in line 1 and in line 3, and only the second would count"),
        (b"a: " + b"x" * 2**20, r"recipe.yaml has 1,048,579 bytes; no recipe is that large"),
        (BOMB, r"recipe.yaml repeats itself by aliases \(\*\) to more than 100,000 values"),
        (b"a: &a\n  b: *a\n", r"recipe.yaml repeats itself by aliases"),
        (b"a: 1\nb: 2001-99-99\n", "has 2001-99-99 in line 2, which is no timestamp, as it is written or tagged"),
        (b"a: !!float x\n", "has x in line 1, which is no float"),
        (b"a: [1, -1" + b"0" * 400 + b"]\n", "has -10{38} in line 1; integers must be below 2"),
        (b"a:\n  - {b: 1, c: 2}\n  - b: 3\n    d:\n    b: 4\n", "the key 'b' twice, in line 3 and in line 5"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said(tmp_path, content, reason):
    """The message names the file, what is in it and the lines."""
    (tmp_path / "recipe.yaml").write_bytes(content)
    with pytest.raises(WrongRecipeError, match=reason):
        check_recipes([tmp_path / "recipe.yaml"])


def test_a_mapping_in_itself_is_looked_at_once():
    """YAML can nest without end."""
    assert list(repeated(yaml.compose("a: &a {b: *a}", yaml.SafeLoader))) == []
