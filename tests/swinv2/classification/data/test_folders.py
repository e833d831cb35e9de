"""Images in class folders."""

import logging

import pytest

from swinv2.classification.data.folders import class_folders, read_class_folders
from swinv2.imaging.reading import UnreadableImageError


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
    assert "Passed over 3 files of 7 (43%)" in caplog.text
    assert "(1 .txt, 1 .gif, 1 .db), first readme.txt, ant/gone.gif, bee/Thumbs.db" in caplog.text


def test_pictures_that_are_passed_over(photos):
    """If more than half of the pictures are of a format that is not read, that is an error with their suffixes."""
    for number in range(5):
        photos.add(f"train/ant/{number}.psd")
        photos.add(f"train/ant/{number}.txt")
    with pytest.raises(
        ValueError, match=r"More than half .* passed over: 5 files of 9 \(56%\) .*\(5 \.psd\), first ant/0"
    ):
        photos.items()


def test_files_beside_images(photos):
    """Notes, and files with the name of an image but for the suffix, are no pictures that are lost."""
    for name in ("ant/a", "ant/b", "bee/c", "bee/d"):
        for suffix in (".json", ".npy", ".cr2"):
            photos.add(f"train/{name}{suffix}")
    assert len(photos.items()) == 4


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


def test_folders_without_images_are_no_classes(photos, caplog):
    """What archives leave and folders without any image are no classes, of training and validation alike, and named."""
    for split in ("train", "val"):
        (photos.root / split / "asp").mkdir()
        photos.add(f"{split}/__MACOSX/ant/._a.jpg")
        photos.add(f"{split}/boa/deep/notes.txt")
    assert class_folders(photos.root / "train") == ["ant", "bee"]
    for split in ("train", "val"):
        assert photos.items(split, ["ant", "bee"]).labels.tolist() == [0, 0, 1, 1]
    assert caplog.text.count("have no images and so are no classes, first asp (0 files), boa (1 files)") == 2
    assert "classes have no images" not in caplog.text


def test_accents_of_other_systems(photos):
    """A folder whose accents are decomposed, as macOS writes them, is the class that has them composed."""
    photos.add("val/caf\u00e9/e.jpg")
    photos.add("mac/cafe\u0301/e.jpg")
    names = ["ant", "bee", "cafe\u0301"]
    assert photos.items("val", names).labels.tolist() == [0, 0, 1, 1, 2]
    assert photos.items("mac", ["caf\u00e9"]).labels.tolist() == [0]


@pytest.mark.parametrize("name", ["0000.tar", "0000.tar.gz", "photos.zip"])
def test_folder_of_archives(photos, name):
    """A folder of shards, or of archives, says how shards are named and that they are not compressed."""
    photos.add(f"shards/{name}")
    message = rf"no folders of classes but 1 archives, first {name}\. .*'shards/\*\.tar', and decompress .*gunzip"
    with pytest.raises(FileNotFoundError, match=message):
        photos.items("shards")


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
    """Class folders without any image are an error that says what was looked for, and what there is."""
    photos.add("empty/ant/notes.txt")
    for read in (photos.items, lambda name: class_folders(photos.root / name)):
        with pytest.raises(
            FileNotFoundError, match=r"have no images; looked for .*\.jpg.* other files, e\.g\. ant/notes"
        ):
            read("empty")


def test_file_that_is_gone(photos):
    """A file that was deleted after the folders were listed cannot be read."""
    items = photos.items()
    (photos.root / "train/ant/a.jpg").unlink()
    with pytest.raises(UnreadableImageError, match=r"a\.jpg cannot be opened"):
        items.read(0)


def test_class_names_by_the_caller(photos):
    """Names in another order than that of the folders give their labels."""
    assert read_class_folders(photos.root / "train", ["bee", "ant"]).labels.tolist() == [1, 1, 0, 0]


def test_images_beside_class_folders(photos, caplog):
    """Images in no folder of a class are counted as such, and more of them than in folders are an error."""
    photos.add("train/loose.jpg")
    assert len(photos.items()) == 4
    assert "1 of 5 images in" in caplog.text
    for index in range(4):
        photos.add(f"train/{index}.jpg")
    with pytest.raises(ValueError, match=r"5 of 9 images in .* are in no folder of a class, first 0\.jpg, 1\.jpg"):
        photos.items()


def test_folders_of_splits(photos):
    """The folder above those of training and validation has no classes."""
    for read in (class_folders, read_class_folders):
        with pytest.raises(ValueError, match="train, val: parts of the data, no classes"):
            read(photos.root)
