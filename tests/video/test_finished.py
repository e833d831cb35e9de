"""What a killed test leaves."""

import pytest

from video.finished import Finished

TEST = {"checkpoint": "best.ckpt", "views": 20}


def test_next_run_knows_what_is_finished(tmp_path):
    """Exactly the numbers that were written come back, of all processes."""
    for process in range(2):
        done = Finished(tmp_path, TEST, process)
        done.add(f"video {process}", [0.1, 1 / 3, 0.7])
    again = Finished(tmp_path, TEST)
    assert again.probabilities == {"video 0": [0.1, 1 / 3, 0.7], "video 1": [0.1, 1 / 3, 0.7]}


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_line_that_was_cut_off_is_done_again(tmp_path, cut):
    """A run that is killed while it writes loses at most that video, and the next one writes on."""
    done = Finished(tmp_path, TEST)
    done.add("first", [0.25, 0.75])
    done.add("second", [0.5, 0.5])
    content = done.path.read_bytes()
    done.path.write_bytes(content[:-cut])
    again = Finished(tmp_path, TEST)
    assert set(again.probabilities) == ({"first"} if cut > 1 else {"first", "second"})
    if cut > 1:
        again.add("second", [0.5, 0.5])
    assert done.path.read_bytes() == content


def test_results_of_another_test_are_put_aside(tmp_path):
    """Another checkpoint starts anew, and nothing is lost."""
    Finished(tmp_path, TEST).add("video", [1.0])
    assert Finished(tmp_path, {**TEST, "checkpoint": "last.ckpt"}).probabilities == {}
    assert len(list(tmp_path.glob("*.other"))) == 1
