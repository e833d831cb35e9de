"""Image files that a user means."""

import logging

import pytest

from swinv2.imaging.finding import find_images, named_images, unique_names


def test_find_files_folders_and_globs(tmp_path):
    """Files, folders and globs name images, sorted within each, and none comes twice."""
    for name in ("b.jpg", "a.PNG", "notes.txt", "sub/c.jpeg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_images([str(tmp_path / "b.jpg"), str(tmp_path), f"{tmp_path}/**/*.jp*g"])
    assert [str(path.relative_to(tmp_path)) for path in found] == ["b.jpg", "a.PNG", "sub/c.jpeg"]


def test_names_of_images(tmp_path):
    """Results of a folder's images are named by the path below it, of others by the file; hidden ones do not count."""
    for name in ("b.jpg", "sub/c.d.png", "sub/deep/b.png", ".trash/e.jpg", "sub/._f.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = named_images([f"{tmp_path}/sub/deep/*", str(tmp_path)])
    names = {str(path.relative_to(tmp_path)): name for path, name in found.items()}
    assert names == {"sub/deep/b.png": "b", "b.jpg": "b", "sub/c.d.png": "sub/c.d"}
    assert find_images([str(tmp_path)]) == sorted(found)


def test_links(tmp_path):
    """Folders that are links count, but for those that lead back, to which there is no end."""
    images, elsewhere = tmp_path / "images", tmp_path / "elsewhere"
    for folder in (images, elsewhere):
        folder.mkdir()
        (folder / "a.jpg").touch()
    (images / "linked").symlink_to(elsewhere)
    (images / "loop").symlink_to(images)
    (elsewhere / "back").symlink_to(images)
    assert find_images([str(images)]) == [images / "a.jpg", images / "linked/a.jpg"]


def test_file_name_with_brackets(tmp_path):
    """A file is found under its own name, even where that looks like a glob."""
    (tmp_path / "photo[1].jpg").touch()
    assert find_images([f"{tmp_path}/photo[1].jpg"]) == [tmp_path / "photo[1].jpg"]


@pytest.mark.parametrize("pattern", ["none.jpg", "*.jpg", ""])
def test_nothing_matches(tmp_path, pattern):
    """A pattern without any image is an error that shows it."""
    with pytest.raises(FileNotFoundError, match="No image matches"):
        find_images([f"{tmp_path}/{pattern}"])


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "b", "a", "x/a", "a"], ["a", "b", "a_2", "x/a", "a_3"]),
        (["a", "a", "a_2"], ["a", "a_3", "a_2"]),
    ],
    ids=["different", "again", "number taken"],
)
def test_names_are_unique(given, names):
    """Only a name that comes again gets a number, and one that makes it new."""
    assert unique_names(given) == names


def test_pictures_that_are_not_read(tmp_path, caplog):
    """Pictures of formats that nobody here reads are counted and named by their suffix, other files are not."""
    for name in ("a.jpg", "b.jfif", "raw/c.CR2", "raw/d.cr2", "e.psd", "notes.txt", "f.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with caplog.at_level(logging.WARNING):
        assert len(find_images([str(tmp_path)])) == 2
    (record,) = caplog.records
    assert f"Of 5 pictures in {tmp_path} 3 are passed over by their suffix: 2 .cr2, 1 .psd, first" in record.message


def test_only_pictures_that_are_not_read(tmp_path):
    """If there are no others, the error counts them."""
    (tmp_path / "a.nef").touch()
    with pytest.raises(
        FileNotFoundError, match=r"No image matches .*There are pictures that are not read: 1 \.nef, first"
    ):
        find_images([str(tmp_path)])


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.avif", "a.jp2", "a.ppm", "a.pgm", "a.tga", "a.tiff", "a.dib"])
def test_suffixes(tmp_path, name):
    """Files of all formats that are read are found."""
    (tmp_path / name).touch()
    assert find_images([str(tmp_path)]) == [tmp_path / name]
