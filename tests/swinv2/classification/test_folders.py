"""Images in class folders."""

import logging

import pytest

from swinv2.classification.folders import class_folders, read_class_folders
from swinv2.images import UnreadableImageError


def test_images_of_classes(photos):
    """Classes are the sorted names of the folders, and images are sorted in each."""
    items = photos.items()
    assert class_folders(photos.root / "train") == ["ant", "bee"]
    assert [item.name for item in items] == ["ant/a", "ant/b", "bee/c", "bee/d"]
    assert items.labels.tolist() == [0, 0, 1, 1]
    assert items.read(2) == (photos.root / "train/bee/c.jpg").read_bytes()
    assert items.shards == []


def test_suffixes_and_subfolders(photos):
    """Images of any known format count, also in folders below that of the class, as Tiny ImageNet has them."""
    for name in ("bee/e.JPEG", "bee/images/f.png", "bee/images/deep/g.webp"):
        photos.add(f"train/{name}")
    names = [item.name for item in photos.items()]
    assert names[2:] == ["bee/c", "bee/d", "bee/e", "bee/images/deep/g", "bee/images/f"]


def test_stray_files_are_counted(photos, caplog):
    """What is no image by its suffix, placeholder GIFs too, is passed over and counted in the log."""
    for name in ("readme.txt", "ant/gone.gif", "bee/Thumbs.db"):
        photos.add(f"train/{name}")
    with caplog.at_level(logging.WARNING):
        assert len(photos.items()) == 4
    assert "Passed over 3 files" in caplog.text
    assert "readme.txt, ant/gone.gif, bee/Thumbs.db" in caplog.text


def test_hidden_files_do_not_count(photos, caplog):
    """What is hidden, as systems leave it, is no class and no image, and not worth a word."""
    for name in (".DS_Store", ".cache/x.jpg", "ant/._a.jpg", "ant/.trash/b.jpg"):
        photos.add(f"train/{name}")
    assert len(photos.items()) == 4
    assert caplog.text == ""


def test_links(photos, tmp_path_factory):
    """Classes may be links to other places; links that lead back have no end and are not followed."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "e.jpg").touch()
    (photos.root / "train/cat").symlink_to(elsewhere)
    (photos.root / "train/bee/loop").symlink_to(photos.root / "train/bee")
    assert [item.name for item in photos.items()][2:] == ["bee/c", "bee/d", "cat/e"]


def test_empty_classes_are_counted(photos, caplog):
    """A folder without images stays a class, and the log says so."""
    (photos.root / "train/asp").mkdir()
    with caplog.at_level(logging.WARNING):
        assert photos.items().labels.tolist() == [0, 0, 2, 2]
    assert "1 of the 3 classes have no images" in caplog.text
    assert "first asp" in caplog.text


def test_missing_classes_in_validation_are_counted(photos, caplog):
    """A class of the training that the validation lacks keeps its label, and the log says so."""
    assert photos.items("val", ["ant", "asp", "bee", "cat"]).labels.tolist() == [0, 0, 2, 2]
    assert "2 of the 4 classes have no images" in caplog.text


def test_other_classes_in_validation(photos):
    """A class that the training has not is an error with its name."""
    photos.add("val/wasp/e.jpg")
    with pytest.raises(ValueError, match=r"val has the class 'wasp', but the 2 classes are ant, bee, .*data\.classes"):
        photos.items("val", ["ant", "bee"])


def test_folders_named_by_label(photos):
    """ImageNet-V2 names its folders by the labels, which are in the order of numbers."""
    for label in (10, 2, 0):
        photos.add(f"v2/{label}/{label}.jpeg")
    names = [f"n{number:08} word" for number in range(12)]
    labels = {item.name: item.label for item in photos.items("v2", names)}
    assert labels == {"0/0": 0, "2/2": 2, "10/10": 10}
    assert class_folders(photos.root / "v2") == ["0", "2", "10"]


def test_folders_named_by_synset(photos):
    """Folders of ImageNet's numbers belong to the names that begin with these."""
    photos.add("synsets/n01484850/a.jpg")
    (item,) = photos.items("synsets", ["n01440764 tench", "n01484850 great white shark"])
    assert item.label == 1


def test_no_folder(photos):
    """A missing folder is named, with the options to check."""
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere.*data\.root, data\.train and data\.val"):
        photos.items("nowhere")


def test_flat_folder(photos):
    """Images without class folders, as ImageNet's validation comes, are an error that says what to do."""
    for number in range(3):
        photos.add(f"flat/ILSVRC2012_val_0000000{number}.JPEG")
    with pytest.raises(FileNotFoundError, match=r"no folders of classes but 3 images; move the images of each class"):
        photos.items("flat")


def test_no_images_at_all(photos):
    """Class folders without any image are an error that says what was looked for."""
    photos.add("empty/ant/notes.txt")
    with pytest.raises(FileNotFoundError, match=r"have no images; looked for names that end in \.jpg"):
        photos.items("empty")


def test_file_that_is_gone(photos):
    """A file that was deleted after the folders were listed cannot be read."""
    items = photos.items()
    (photos.root / "train/ant/a.jpg").unlink()
    with pytest.raises(UnreadableImageError, match=r"a\.jpg cannot be opened"):
        items.read(0)


def test_class_names_by_the_caller(photos):
    """Names in another order than that of the folders give their labels."""
    assert read_class_folders(photos.root / "train", ["bee", "ant"]).labels.tolist() == [1, 1, 0, 0]
