"""Images and their label maps, found by name."""

import pytest

from segmentation.data.pairs import find_pairs


class Folders:
    """Images a.jpg, b.png and deep/c.jpg with maps, all empty: nothing of them is read."""

    def __init__(self, root):
        self.images, self.maps = root / "images", root / "maps"
        for name in ("a.jpg", "b.png", "deep/c.jpg"):
            self.add(name)

    def add(self, name):
        """Make an image, and its map."""
        for path in (self.images / name, (self.maps / name).with_suffix(".png")):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def pairs(self, **settings):
        """The pairs in the folders."""
        return find_pairs(self.images, self.maps, **settings)


@pytest.fixture
def folders(tmp_path):
    """Two folders of three pairs."""
    return Folders(tmp_path)


def test_pairs(folders):
    """Pairs have the same path but for the suffix, in subfolders too, and come in order of their names."""
    pairs = folders.pairs()
    assert [pair.name for pair in pairs] == ["a", "b", "deep/c"]
    assert pairs[2].image == folders.images / "deep/c.jpg"
    assert pairs[2].map == folders.maps / "deep/c.png"


def test_suffix_of_maps(folders):
    """The end of a map's name may be longer than its format."""
    for path in list(folders.maps.rglob("*.png")):
        path.rename(path.with_name(f"{path.stem}_labels.png"))
    assert [pair.name for pair in folders.pairs(map_suffix="_labels.png")] == ["a", "b", "deep/c"]


def test_other_files_do_not_count(folders):
    """Texts and hidden files are neither images nor maps."""
    (folders.images / "readme.txt").write_text("no image")
    (folders.images / "._a.jpg").write_text("no image")
    (folders.maps / ".a.png").write_text("no map")
    assert len(folders.pairs()) == 3


@pytest.mark.parametrize("lost", ["images", "maps"])
def test_missing_folder(folders, lost):
    """A missing folder is named, and what it should hold."""
    getattr(folders, lost).rename(folders.images.parent / "elsewhere")
    with pytest.raises(FileNotFoundError, match=rf"no folder .*{lost} of (images|label maps); check data\.root"):
        folders.pairs()


def test_empty_folder(folders):
    """A folder without the files looked for says which ones these are."""
    with pytest.raises(FileNotFoundError, match=r"maps has no label maps; looked for names that end in \.tif\."):
        folders.pairs(map_suffix=".tif")


def test_missing_maps(folders):
    """Images without maps are counted, and the first three are named."""
    for index in range(4):
        folders.add(f"{index}.jpg")
        (folders.maps / f"{index}.png").unlink()
    message = (
        r"4 of 7 images have no label map in .*maps, first .*0\.jpg, .*1\.jpg, .*2\.jpg\. The two .*data\.map_suffix"
    )
    with pytest.raises(FileNotFoundError, match=message):
        folders.pairs()


def test_missing_images(folders):
    """So are maps without images, beside them."""
    (folders.images / "a.jpg").unlink()
    (folders.maps / "b.png").unlink()
    message = r"1 of 2 images have no .*b\.png; 1 of 2 label maps have no image in .*images, first .*a\.png\."
    with pytest.raises(FileNotFoundError, match=message):
        folders.pairs()


def test_two_images_of_one_name(folders):
    """Which of two images a map belongs to is not guessed."""
    folders.add("a.png")
    with pytest.raises(ValueError, match=r"images has several images of the name a; keep one"):
        folders.pairs()


def test_suffix_of_images(folders):
    """Images may have a longer end, too, in place of the maps' (Cityscapes)."""
    for folder, end in ((folders.images, "_leftImg8bit.png"), (folders.maps, "_gtFine_labelTrainIds.png")):
        for path in [one for one in folder.rglob("*.*") if one.is_file()]:
            path.rename(path.with_name(path.stem + end))
    (folders.maps / "a_gtFine_instanceIds.png").touch()
    pairs = folders.pairs(image_suffix="_leftImg8bit.png", map_suffix="_gtFine_labelTrainIds.png")
    assert [pair.name for pair in pairs] == ["a", "b", "deep/c"]
    assert pairs[2].image.name == "c_leftImg8bit.png"
    assert pairs[2].map.name == "c_gtFine_labelTrainIds.png"


@pytest.mark.parametrize(
    ("image", "label_map", "settings"),
    [
        ("a.png", "a_mask.png", {"map_suffix": "_mask.png"}),
        ("a.png", "a_mask.png", {"image_suffix": ".png", "map_suffix": "_mask.png"}),
        ("a.jpg", "a.png", {}),
        ("a_image.png", "a_mask.png", {"image_suffix": "_image.png", "map_suffix": "_mask.png"}),
    ],
)
def test_one_folder(tmp_path, image, label_map, settings):
    """Images and maps may lie in one folder: a map is not an image."""
    for name in (image, label_map):
        (tmp_path / name).touch()
    assert find_pairs(tmp_path, tmp_path, **settings) == [("a", tmp_path / image, tmp_path / label_map)]


def test_one_folder_without_suffix(tmp_path):
    """If all files look like maps, the message says that the suffix is missing."""
    for name in ("a.png", "a_mask.png"):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=r"has no images; .* are no label maps \(data\.map_suffix\)"):
        find_pairs(tmp_path, tmp_path)


def test_hidden_folders_do_not_count(folders):
    """Copies that notebooks keep are not looked at."""
    for folder in (folders.images, folders.maps):
        (folder / ".ipynb_checkpoints").mkdir()
    (folders.images / ".ipynb_checkpoints/a-checkpoint.jpg").touch()
    assert len(folders.pairs()) == 3


def test_missing_maps_name_the_lists(folders):
    """Whoever has more images than maps learns how to name those that are meant."""
    (folders.maps / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"name them in a list \(data\.train_list, data\.val_list\)"):
        folders.pairs()


def test_list(folders, tmp_path):
    """A list names the pairs that are meant; others need not be whole."""
    (folders.maps / "b.png").unlink()
    (tmp_path / "train.txt").write_text("deep/c\n\n a \ndeep/c\n")
    assert [pair.name for pair in folders.pairs(listed=tmp_path / "train.txt")] == ["a", "deep/c"]


@pytest.mark.parametrize(
    "text",
    [
        "deep/c.jpg\na.JPG\n",
        "deep/c.png\na.png\n",
        "deep\\c\r\na\r\n",
        "images/deep/c.jpg\n./images/a.jpg\n",
        "/elsewhere/images/deep/c.jpg\nC:\\x\\images\\a.jpg\n",
        "/images/deep/c.jpg /maps/deep/c.png\nimages/a.jpg maps/a.png\n",
        "image,mask,split\ndeep/c.jpg,deep/c.png,train\na.jpg,a.png,train\n",
        "filename\n# a comment\n\ndeep/c\n'a'\n",
        "\ufeffdeep/c\na\na.jpg\n",
    ],
)
def test_ways_to_write_a_list(folders, tmp_path, text):
    """Lists have names or paths, with suffixes and folders or not, in columns, under headings, of other systems."""
    (tmp_path / "train.txt").write_bytes(text.encode())
    assert [pair.name for pair in folders.pairs(listed=tmp_path / "train.txt")] == ["a", "deep/c"]


def test_lines_that_come_again_are_counted(folders, tmp_path, caplog):
    """Of two lines that name one image the second is passed over, and the log says so."""
    (tmp_path / "train.txt").write_text("a\nb\nimages/a.jpg\n")
    assert [pair.name for pair in folders.pairs(listed=tmp_path / "train.txt")] == ["a", "b"]
    assert "Passed over 1 lines of" in caplog.text and "first line 3, 'images/a.jpg'" in caplog.text


def test_accents_of_other_systems(folders, tmp_path):
    """Image, map and list may each have their accents in either form of Unicode; the name is that of the image."""
    (folders.images / "cafe\u0301.jpg").touch()
    (folders.maps / "caf\u00e9.png").touch()
    (tmp_path / "train.txt").write_text("caf\u00e9\n")
    (pair,) = folders.pairs(listed=tmp_path / "train.txt")
    assert pair == ("cafe\u0301", folders.images / "cafe\u0301.jpg", folders.maps / "caf\u00e9.png")
    assert len(folders.pairs()) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nother/b.jpg\n", "1 of the 2 names in .*have no image in .*, first line 2, 'other/b.jpg'"),
        ("a\n../b.jpg\n", "first line 2, '../b.jpg'"),
        ("a 1\nb -1\n", "In line 1, 'a 1', '1' is neither image nor map"),
        ("images/a.jpg maps/b.png\n", "In line 1, .*, the columns name 'a' and 'b'"),
        ("image,split\na,train\nb,val\n", "column 'split' has train, val, and all rows would be taken"),
    ],
)
def test_lists_that_are_not_clear(folders, tmp_path, text, message):
    """A line that names no image, or may mean something else, is an error with its number."""
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        folders.pairs(listed=tmp_path / "train.txt")


def test_files_that_are_passed_over_are_counted(folders, caplog):
    """Files beside the images that are none by their suffix are counted, unless a suffix says that it is meant so."""
    (folders.images / "d.cr2").touch()
    assert len(folders.pairs()) == 3
    assert "Passed over 1 files of 4 (25%)" in caplog.text and "(1 .cr2), first d.cr2" in caplog.text


@pytest.mark.parametrize(("lost", "what"), [("maps/b.png", "label map"), ("images/b.png", "image")])
def test_missing_name_of_a_list(folders, tmp_path, lost, what):
    """A listed name without image or map is an error that names it, the folder, and what a name looks like."""
    (tmp_path / lost).unlink()
    (tmp_path / "train.txt").write_text("a\nb\n")
    message = rf"1 of the 2 names in .*train\.txt have no {what} in .*, first line 2, 'b'\. .*without suffix, e\.g\. a;"
    with pytest.raises(FileNotFoundError, match=message):
        folders.pairs(listed=tmp_path / "train.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\n", r"train\.txt is empty; write"), (b"\xff\xfe\x80", r"train\.txt is not a text file")],
)
def test_bad_list(folders, tmp_path, content, message):
    """A list without names, or one that is no text, is refused in words."""
    (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        folders.pairs(listed=tmp_path / "train.txt")


def test_missing_list(folders, tmp_path):
    """A missing list is named, with the settings that give it."""
    with pytest.raises(FileNotFoundError, match=r"no list .*gone\.txt; check data\.root, data\.train_list"):
        folders.pairs(listed=tmp_path / "gone.txt")
