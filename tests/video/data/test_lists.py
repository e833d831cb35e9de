"""Lists of videos and class folders."""

import json
import logging
from pathlib import Path

import pytest

from video.data.list_tables import tell_unused
from video.data.lists import VideoItem, read_class_folders, read_videos


@pytest.fixture
def videos(tmp_path):
    """Makes empty files below a folder of videos, and gives the folder."""

    def make(*names):
        for name in names:
            path = tmp_path / "videos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "videos"

    return make


@pytest.fixture
def listing(tmp_path):
    """Writes a list."""

    def write(name, content):
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.txt", "a/one.mp4 0\nb/two three.avi 2\n"),
        ("train.txt", "# path, label\n\na/one.mp4,0\nb/two three.avi, 2\n"),
        ("train.txt", "a/one.mp4\t0\nb/two three.avi\t2\n"),
        ("train.csv", "a/one.mp4,0\nb/two three.avi,2\n"),
        ("train.csv", "path,label\na/one.mp4,0\nb/two three.avi,2\n"),
        ("train.csv", "a/one.mp4;0\nb/two three.avi;2\n"),
        ("train.csv", "Path,Label\na/one.mp4,0\nb/two three.avi,2\n"),
        ("train.csv", "a/one.mp4 0\nb/two three.avi 2\n"),
        ("train.csv", "a/one.mp4\t0\nb/two three.avi\t2\n"),
        ("train.csv", "\ufeffvideo_name,tag\r\na/one.mp4,0\r\nb/two three.avi,2\r\n"),
        ("train.csv", "Datei,Klasse\na/one.mp4,0\nb/two three.avi,2\n"),
        ("train.csv", "fps,clip_path,split,class_id\n25,a/one.mp4,x,0\n30,b/two three.avi,y,2\n"),
        ("train.csv", "path|label\na/one.mp4|0\nb/two three.avi|2\n"),
        ("train.csv", '"a/one.mp4","0"\n"b/two three.avi","2"\n'),
        ("train.csv", "path,label\na/one.mp4,0.0\nb/two three.avi,2.0\n"),
        ("train.csv", "# ours\npath,label,\na/one.mp4,0,\n\nb/two three.avi,2,\n"),
        ("train.tsv", "file_name\tlabel\na/one.mp4\t0\nb/two three.avi\t2\n"),
        ("train.txt", "path label\na/one.mp4 0\nb/two three.avi 2  \n"),
        ("train.txt", "a\\one.mp4 0\n'b/two three.avi' 2\n"),
        ("train.txt", "a/one.mp4;0\n#\n# b/four.mp4 1\nb/two three.avi ; 2\n"),
        ("train.json", [{"video": "a/one.mp4", "label": 0}, {"video": "b/two three.avi", "label": 2}]),
        ("train.json", {"a/one": 0, "b/two three": "2"}),
        (
            "train.json",
            {
                "version": 1,
                "database": {"x": {"path": "a/one", "class": 0}, "y": {"path": "b/two three.avi", "class": 2}},
            },
        ),
        ("train.json", [["a/one.mp4", 0], ["b/two three", 2]]),
        ("train.jsonl", '{"path": "a/one.mp4", "label": 0}\n{"path": "b/two three.avi", "label": 2}\n'),
    ],
)
def test_paths_and_labels(videos, listing, name, content):
    """Paths may have blanks, and tables headings in any words; without names, classes are numbered."""
    folder = videos("a/one.mp4", "b/two three.avi")
    found = read_videos(listing(name, content), folder)
    assert found.items == [
        VideoItem(folder / "a/one.mp4", 0),
        VideoItem(folder / "b/two three.avi", 2),
    ]
    assert found.class_names == ["class 0", "class 1", "class 2"]
    assert found.missing == []


def test_frame_folders_with_their_length(videos, listing):
    """Lists of frame folders may say how many frames there are; the folders are found nevertheless."""
    folder = videos("a b/img_1.jpg", "c/img_1.jpg")
    assert read_videos(listing("train.txt", "a b 163 1\nc 0\n"), folder).items == [
        VideoItem(folder / "a b", 1),
        VideoItem(folder / "c", 0),
    ]


def test_paths_without_suffix_and_whole_paths(videos, listing):
    """A suffix may be missing; a whole path does not depend on the folder of videos."""
    folder = videos("a.webm", "b.mp4")
    found = read_videos(listing("train.txt", f"a 0\n{folder / 'b.mp4'} 1\n"), folder)
    assert [item.path.name for item in found.items] == ["a.webm", "b.mp4"]


def test_paths_beyond_ascii(videos, listing):
    """Names of files may have any letters."""
    folder = videos("über/видео 跳舞.mp4")
    assert read_videos(listing("train.txt", "über/видео 跳舞.mp4 0\n"), folder).items[0].path.is_file()


def test_names_of_classes_as_labels(videos, listing):
    """A CSV may give classes by name; the labels are those of the given names, else of the sorted ones."""
    folder = videos("1.mp4", "2.mp4")
    source = listing("train.csv", "1;walk fast\n2;jump\n")
    assert [item.label for item in read_videos(source, folder).items] == [1, 0]
    assert [item.label for item in read_videos(source, folder, ["run", "walk fast", "jump"]).items] == [1, 2]


KINETICS = (
    "label,youtube_id,time_start,time_end,split\n"
    "air drumming,---QUuC4vJs,84,94,train\n"
    '"baking cookies",--3ouPhoy2A,20,30,train\n'
    "air drumming,-0bb3M6EpRs,7,17,train\n"
)


@pytest.mark.parametrize(
    "names",
    [
        ("---QUuC4vJs_000084_000094.mp4", "--3ouPhoy2A_000020_000030.mkv", "-0bb3M6EpRs_000007_000017.webm"),
        ("---QUuC4vJs.mp4", "--3ouPhoy2A_20_30.mp4", "-0bb3M6EpRs.mp4"),
        (
            "air drumming/---QUuC4vJs_000084_000094.mp4",
            "baking_cookies/--3ouPhoy2A_000020_000030.mp4",
            "air_drumming/-0bb3M6EpRs.avi",
        ),
    ],
)
def test_kinetics(videos, listing, names):
    """The official CSV finds its videos in the usual folders and by the usual names; classes are sorted."""
    folder = videos(*names)
    found = read_videos(listing("train.csv", KINETICS), folder)
    assert [item.path for item in found.items] == [folder / name for name in names]
    assert [item.label for item in found.items] == [0, 1, 0]
    assert found.class_names == ["air drumming", "baking cookies"]


def test_kinetics_with_other_headings(videos, listing):
    """Headings may be in capitals and have blanks around them."""
    folder = videos("---QUuC4vJs_000084_000094.mp4", "--3ouPhoy2A.mp4", "-0bb3M6EpRs.mp4")
    text = KINETICS.replace("label,youtube_id,time_start", "Label, YouTube_ID, Time_Start")
    assert [item.label for item in read_videos(listing("train.csv", text), folder).items] == [0, 1, 0]


@pytest.mark.parametrize("times", ["NaN,NaN", ",", "ten,20", "inf,-inf"])
def test_kinetics_without_times(videos, listing, times):
    """Where times are missing or no numbers, files are found by their ids."""
    text = f"label,youtube_id,time_start,time_end,split\nair drumming,---QUuC4vJs,{times},train\n"
    assert len(read_videos(listing("train.csv", text), videos("air drumming/---QUuC4vJs.mp4")).items) == 1


def test_kinetics_in_json(videos, listing):
    """The official JSON finds the same files as the CSV."""
    clip = {"annotations": {"label": "air drumming", "segment": [84.0, 94.0]}, "subset": "train", "url": "https://x"}
    folder = videos("air_drumming/---QUuC4vJs_000084_000094.mp4")
    assert len(read_videos(listing("train.json", {"---QUuC4vJs": clip}), folder).items) == 1


def test_something_something(videos, listing):
    """The class of the JSON is the template without brackets, the file is named by the id."""
    folder = videos("78687.webm", "42326.webm")
    entries = [
        {"id": "78687", "label": "holding potato next to vase", "template": "Holding [something] next to [something]"},
        {"id": 42326, "label": "dropping cup", "template": "Dropping [something]"},
    ]
    names = ["Dropping something", "Holding something next to something"]
    assert read_videos(listing("train.json", entries), folder).class_names == names
    assert read_videos(listing("train.json", entries), folder, names).items == [
        VideoItem(folder / "78687.webm", 1),
        VideoItem(folder / "42326.webm", 0),
    ]


def test_class_folders(videos):
    """Each folder is a class; videos and folders of frames count, hidden and other files do not."""
    folder = videos("run/b.mp4", "run/a.AVI", "run/notes.txt", "jump/c/img_1.jpg", "run/.d.mp4", "jump/empty/x.txt")
    found = read_videos(folder, Path("unused"))
    assert found.items == [
        VideoItem(folder / "jump/c", 0),
        VideoItem(folder / "run/a.AVI", 1),
        VideoItem(folder / "run/b.mp4", 1),
    ]
    assert found.class_names == ["jump", "run"]


def test_link_that_leads_nowhere(videos):
    """It is a video that cannot be read, which loading counts, and not one that nobody hears of."""
    folder = videos("run/a.mp4")
    (folder / "run/b.mp4").symlink_to(folder / "gone.mp4")
    assert [item.path.name for item in read_class_folders(folder).items] == ["a.mp4", "b.mp4"]


def test_class_folders_of_given_classes(videos):
    """Validation folders get the labels of the training classes, even if one of them is missing."""
    assert read_class_folders(videos("run/a.mp4"), ["jump", "run"]).items[0].label == 1


def test_names_that_begin_with_a_hash(videos, listing):
    """They are videos and classes; a comment has a blank behind the sign."""
    folder = videos("#20_clap.avi", "#1 a.avi", "b.avi")
    found = read_videos(listing("train.csv", "# all of them\n#20_clap.avi,#hashtag\n'#1 a.avi',b\nb.avi,b\n"), folder)
    assert [item.path.name for item in found.items] == ["#20_clap.avi", "#1 a.avi", "b.avi"]
    assert found.class_names == ["#hashtag", "b"]


def test_names_as_systems_write_them(videos, listing):
    """Accents in either form, suffixes in capitals and backslashes are found; a missing suffix, too."""
    folder = videos("cafe\u0301/u\u0308ber.MP4", "caf\u00e9s/a.mp4", "deep/er/v1.5.avi")
    rows = ["caf\u00e9/\u00fcber.mp4 0", "cafe\u0301s\\a.mp4 0", "caf\u00e9/\u00fcber 0", "deep\\er\\v1.5 0"]
    found = read_videos(listing("train.txt", "\n".join(rows)), folder)
    assert len(found.items) == 4 and found.missing == []


def test_nothing_but_files_is_found(videos, listing):
    """Addresses and lists of files in the words of FFmpeg are names of files that are not there."""
    rows = "a.mp4 0\nb.mp4 0\nc.mp4 0\nhttp://example.org/x.mp4 0\nconcat:a.mp4|b.mp4 0\n"
    found = read_videos(listing("train.txt", rows), videos("a.mp4", "b.mp4", "c.mp4"))
    assert found.missing == ["http://example.org/x.mp4", "concat:a.mp4|b.mp4"]


def test_videos_that_are_listed_twice(videos, listing, caplog):
    """They are counted, and so are those with several classes; all of them are used."""
    found = read_videos(listing("train.txt", "a.mp4 0\nb.mp4 1\na.mp4 1\nb 1\n"), videos("a.mp4", "b.mp4"))
    assert len(found.items) == 4
    assert "2 videos are in" in caplog.text and "1 of them with several classes, first" in caplog.text


def test_class_that_loses_its_videos(videos, listing, caplog):
    """A class of which all videos are missing is named."""
    rows = "a.mp4;walk\nb.mp4;run\nc.mp4;run\ngone.mp4;jump\n"
    read_videos(listing("train.csv", rows), videos("a.mp4", "b.mp4", "c.mp4"))
    assert "No video is there of 1 classes in" in caplog.text and caplog.text.rstrip().endswith(": jump")


def test_class_folders_at_any_depth(videos, caplog):
    """Videos may lie deeper; folders without videos are no classes, and all that is passed over is told."""
    names = ("run/a.mp4", "run/more/b.3gp", "run/more/deep/c/1.jpg", "swim/x.xyz", "__MACOSX/run/d.mp4", "empty/.e.mp4")
    folder = videos(*names, "notes.txt")
    found = read_class_folders(folder)
    assert [item.path.relative_to(folder).as_posix() for item in found.items] == [
        "run/a.mp4", "run/more/b.3gp", "run/more/deep/c",
    ]  # fmt: skip
    assert found.class_names == ["run"]
    assert "3 folders in" in caplog.text and "are no classes: __MACOSX, empty, swim" in caplog.text
    assert "that are no videos by their names (1 .txt, 1 .xyz)" in caplog.text


def test_missing_videos_are_counted(videos, listing, caplog):
    """A dead link is left out, listed, and counted in the log."""
    folder = videos("a.mp4", "b.mp4")
    with caplog.at_level(logging.WARNING):
        found = read_videos(listing("train.txt", "a.mp4 0\ngone.mp4 1\nb.mp4 0\n"), folder)
    assert found.missing == ["gone.mp4"]
    assert [item.path.name for item in found.items] == ["a.mp4", "b.mp4"]
    assert found.class_names == ["class 0", "class 1"]
    assert "1 of the 3 videos" in caplog.text
    assert "first gone.mp4" in caplog.text


def test_most_videos_missing(videos, listing):
    """If more than half are missing, the folder is probably wrong."""
    with pytest.raises(FileNotFoundError, match=r"2 of the 3 videos .* first x.mp4, y.mp4. Check data.root"):
        read_videos(listing("train.txt", "a.mp4 0\nx.mp4 1\ny.mp4 0\n"), videos("a.mp4"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.txt", "", "is empty"),
        ("train.txt", "# only\n\n", "is empty"),
        ("train.txt", "a.mp4 0\nb.mp4\n", "line 2, 'b.mp4', has no path and label"),
        ("train.txt", "a.mp4 -1\n", "has no path and label"),
        ("train.txt", "a.mp4 1,2\na.mp4 3,4\na.mp4 0\n", "2 of the 3 videos"),
        ("train.csv", "", "is empty"),
        ("train.csv", "a.mp4,0,1\n", "line 1, 'a.mp4,0,1', has no path .* but 3 columns"),
        ("train.csv", "a.mp4,\n", "has no label"),
        ("train.csv", ",0\n", "has no path"),
        ("train.csv", "a.mp4,-1\n", "has the label '-1'; labels are 0, 1, 2"),
        ("train.csv", "a.mp4,1.5\n", "has the label '1.5'"),
        ("train.csv", "a.mp4,NaN\n", "has no label"),
        ("train.csv", "a.mp4,3\nb.mp4,walk\n", "Some labels are numbers, e.g. '3', and others names, e.g. 'walk'"),
        ("train.csv", "a.mp4,999999999999\n", "label 999999999999 is no number of a class; .* less than 100000"),
        ("train.csv", "path,weight,fps\na.mp4,1,2\n", "No column of 'path', 'weight', 'fps' is known for labels"),
        ("train.csv", "fps,label,size\n1,0,2\n", "is known for paths"),
        ("train.csv", '"a.mp4,0\n', "has no path"),
        ("train.csv", "a\0.mp4,0\n", "control character"),
        ("test.csv", "youtube_id,time_start,time_end,split\n--07WQ2iBlw,1,11,test\n", "is known for labels"),
        ("train.json", [{"id": "1"}], "entry 0, id '1', has no label"),
        ("train.json", [{"id": "1", "template": None, "label": ""}], "has no label"),
        ("train.json", [{"id": None, "label": "a"}], "has no path"),
        ("train.json", [{"id": True, "label": "a"}], "has the id True, which is no text"),
        ("train.json", [{"id": "1", "label": {"a": 1}}], "has the label {'a': 1}, which is no text"),
        ("train.json", [{"id": "1", "annotations": [{"label": "a"}, {"label": "b"}]}], "several labels, 'a' and 'b'"),
        ("train.json", ["a.mp4"], "entry 0, 'a.mp4', is no object"),
        ("train.json", '[{"id": "\\ud800", "label": "a"}]', "characters that are none"),
        ("train.json", {"walk": "0", "run": "1"}, "is a file of class names"),
        ("train.json", "3", "no list of objects with an id"),
        ("train.json", "[" * 100_000, "nested too deep"),
        ("train.json", "[", "It is no JSON"),
    ],
)
def test_wrong_lists(videos, listing, name, content, message):
    """What is wrong is said, with the file and the formats that are read."""
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        read_videos(listing(name, content), videos("a.mp4"))
    assert name in str(caught.value) or "data.classes" in str(caught.value)


def test_list_of_another_encoding(tmp_path):
    """A list that is not UTF-8 is refused."""
    (tmp_path / "train.txt").write_bytes("über.mp4 0".encode("latin-1"))
    with pytest.raises(ValueError, match="not a text file in UTF-8"):
        read_videos(tmp_path / "train.txt", tmp_path)


def test_class_out_of_range(videos, listing):
    """A label that no class has is refused, with the classes there are."""
    with pytest.raises(ValueError, match=r"class '2', but the 2 classes are jump, run, … with labels from 0 to 1"):
        read_videos(listing("val.txt", "a.mp4 2\n"), videos("a.mp4"), ["jump", "run"])


def test_unknown_class_folder(videos):
    """A folder that is no class is refused."""
    with pytest.raises(ValueError, match="class 'swim'"):
        read_class_folders(videos("swim/a.mp4"), ["jump", "run"])


def test_missing_list(tmp_path):
    """A missing list is named, with the formats that are read."""
    with pytest.raises(FileNotFoundError, match=r"no list of videos .*train\.txt; .*path label"):
        read_videos(tmp_path / "train.txt", tmp_path)


def test_folder_without_classes(videos):
    """A folder of videos without class folders is refused."""
    with pytest.raises(FileNotFoundError, match="no folders of classes with videos"):
        read_class_folders(videos("a.mp4"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.csv", "label,youtube_id,time_start,time_end,split\nrun,a,1,2,train\nrun,b,1,2,validate\n"),
        ("list.json", {"a": {"label": "run", "subset": "train"}, "b": {"label": "run", "subset": "val"}}),
        ("list.jsonl", '{"id": "a", "label": 0, "split": "train"}\n{"id": "b", "label": 0, "split": "test"}\n'),
    ],
)
def test_list_of_several_splits(videos, listing, name, content):
    """A list of training and validation together would train on both, and so is refused."""
    with pytest.raises(ValueError, match="and all rows would be taken; write a list of each"):
        read_videos(listing(name, content), videos("a.mp4", "b.mp4"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.csv", "path,start_frame,end_frame,label\na.mp4,0,9,0\nb.mp4,9,20,1\n"),
        ("list.json", [{"path": "a.mp4", "start_frame": 3, "label": 0}, {"path": "b.mp4", "end_frame": 3, "label": 1}]),
    ],
)
def test_parts_of_videos_are_told(videos, listing, caplog, name, content):
    """Where a list tells parts of videos, the log says that these are taken whole."""
    tell_unused.cache_clear()
    assert len(read_videos(listing(name, content), videos("a.mp4", "b.mp4")).items) == 2
    assert "'start_frame', 'end_frame' of a list of videos are not used: each video is taken whole" in caplog.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.csv", "run,a.mp4\nwalk,b.mp4\n"),
        ("list.csv", "sep=;\npath;label\na.mp4;run\nb.mp4;walk\n"),
        ("list.txt", [{"path": "a.mp4", "label": "run"}, {"path": "b.mp4", "label": "walk"}]),
    ],
)
def test_lists_in_other_ways(videos, listing, name, content):
    """Labels may stand in front of files, a first line may be for Excel, and JSON may be called a text."""
    found = read_videos(listing(name, content), videos("a.mp4", "b.mp4"))
    assert [(item.path.name, item.label) for item in found.items] == [("a.mp4", 0), ("b.mp4", 1)]


def test_videos_beside_class_folders(videos, caplog):
    """Videos in no folder of a class are counted, and more of them than in folders are an error."""
    folder = videos("run/a.mp4", "walk/b.mp4", "c.mp4")
    assert len(read_class_folders(folder).items) == 2
    assert "1 of 3 videos in" in caplog.text
    with pytest.raises(ValueError, match=r"3 of 5 videos in .* are in no folder of a class, first c\.mp4, d\.mp4"):
        read_class_folders(videos("d.mp4", "e.mp4"))


def test_folders_of_splits(videos):
    """The folder above those of training and validation has no classes."""
    with pytest.raises(ValueError, match="train, val: parts of the data, no classes"):
        read_class_folders(videos("train/run/a.mp4", "val/run/b.mp4"))
