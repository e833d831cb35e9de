"""The JSON of COCO files."""

import gzip

import pytest

from detection.data.coco_json import entries

TEXT = '{"images": [{"name": "裂纹"}]}'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (TEXT.encode() * 2, "Extra data behind its end at byte 32"),
        (TEXT.encode() + bytes(9), "Extra data behind its end"),
        (TEXT.encode("gbk"), r"has letters that are not UTF-8 at byte 22, .*e\.g\. GBK"),
        (gzip.compress(TEXT.encode()), "is compressed .*unpack it first"),
    ],
    ids=["two", "zeros", "GBK", "gzip"],
)
def test_files_that_are_more_or_other_than_json(tmp_path, data, message):
    """What follows the object, another encoding and a compressed file are errors that say so."""
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        list(entries(path, ["images"], set()))
