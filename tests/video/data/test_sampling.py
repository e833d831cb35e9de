"""Which frames make a clip. The tables were worked by hand; comments show how."""

import pytest
import torch

from video.data.sampling import Dense, Segments, Shuffled


@pytest.mark.parametrize(
    ("frames", "stride", "length", "expected"),
    [
        (4, 2, 20, [6, 8, 10, 12]),  # spans 7 frames, 13 are left over, 6 of them in front
        (4, 2, 7, [0, 2, 4, 6]),  # nothing is left over
        (4, 2, 8, [0, 2, 4, 6]),  # one is, 1 // 2 in front
        (4, 2, 5, [0, 2, 4, 1]),  # 6 begins again: 6 - 5
        (4, 2, 1, [0, 0, 0, 0]),
        (3, 1, 10, [3, 4, 5]),
        (1, 1, 10, [4]),  # 9 are left over
    ],
)
def test_dense_test_clip_is_in_the_middle(frames, stride, length, expected):
    """One clip has as many frames before it as behind it, or one fewer."""
    assert Dense(frames, stride).test(length) == [expected]


def test_dense_test_clips_are_spread_from_first_to_last_frame():
    """13 positions are left over: four clips begin at 0, 13 / 3 = 4.33, 8.67 and 13."""
    assert Dense(4, 2).test(20, clips=4) == [[0, 2, 4, 6], [4, 6, 8, 10], [9, 11, 13, 15], [13, 15, 17, 19]]


def test_dense_test_clips_round_halves_as_numpy_does():
    """5 left over positions in 2 steps: the middle clip begins at 2.5, which becomes 2, as in mmaction2."""
    assert [clip[0] for clip in Dense(2, 1).test(7, clips=3)] == [0, 2, 5]


def test_dense_test_clips_of_a_short_video_are_the_same():
    """Without room to move, all clips begin at the first frame."""
    assert Dense(4, 2).test(5, clips=2) == [[0, 2, 4, 1], [0, 2, 4, 1]]


def test_dense_training_clip_begins_at_every_place():
    """With 20 frames there is room for 4 × 2 frames at 0 to 12, and nowhere else."""
    clips = [Dense(4, 2).train(20) for _ in range(300)]
    assert {clip[0] for clip in clips} == set(range(13))
    assert all(clip == [clip[0] + offset for offset in (0, 2, 4, 6)] for clip in clips)


def test_dense_training_clip_of_a_short_video_begins_again():
    """5 frames do not fill 4 × 2: the clip begins at 0, and again after the last frame."""
    assert Dense(4, 2).train(5) == [0, 2, 4, 1]


@pytest.mark.parametrize(
    ("frames", "length", "expected"),
    [
        (4, 17, [2, 6, 10, 14]),  # bounds 0, 4, 8, 12, 16
        (4, 10, [1, 3, 5, 8]),  # bounds 0, 2.25 → 2, 4.5 → 4, 6.75 → 7, 9: middles 1, 3, 5.5 → 5, 8
        (4, 3, [0, 0, 1, 2]),  # bounds 0, 0.5 → 0, 1, 1.5 → 2, 2: middles 0, 0.5 → 0, 1.5 → 1, 2
        (3, 1, [0, 0, 0]),
        (1, 9, [4]),
    ],
)
def test_segments_test_clip_has_the_middle_of_each_part(frames, length, expected):
    """The whole video is cut into equal parts, whose middle frames are taken."""
    assert Segments(frames).test(length) == [expected]


def test_segments_test_clips_divide_each_part():
    """Bounds 0, 8, 16: two clips take the frames at a quarter and three quarters of each part."""
    assert Segments(2).test(17, clips=2) == [[2, 10], [6, 14]]


def test_segments_training_clip_takes_any_frame_of_each_part():
    """Bounds 0, 2, 4, 7, 9: each frame comes from between two of them, both included."""
    clips = torch.tensor([Segments(4).train(10) for _ in range(200)])
    assert clips.amin(dim=0).tolist() == [0, 2, 4, 7]
    assert clips.amax(dim=0).tolist() == [2, 4, 7, 9]


@pytest.mark.parametrize("sampling", [Dense(8, 3), Segments(8)])
@pytest.mark.parametrize("length", [1, 5, 8, 9, 24, 300])
def test_frames_are_in_the_video(sampling, length):
    """Whatever the length, clips have all their frames, and none is outside."""
    clips = [sampling.train(length), *sampling.test(length), *sampling.test(length, clips=5)]
    assert len(clips) == 7
    assert all(len(clip) == 8 and 0 <= min(clip) <= max(clip) < length for clip in clips)


def test_training_clips_depend_on_the_seed():
    """The same seed of torch gives the same clips."""
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append([Dense(8, 2).train(200), Segments(8).train(200)])
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Dense(0, 2), "frames 0: give 1 or more"),
        (lambda: Dense(8, 0), "stride 0"),
        (lambda: Segments(-1), "frames -1"),
        (lambda: Dense().train(0), "length 0"),
        (lambda: Segments().train(0), "length 0"),
        (lambda: Dense().test(9, clips=0), "clips 0"),
        (lambda: Segments().test(9, clips=0), "clips 0"),
    ],
)
def test_numbers_below_one(wrong, message):
    """No frames, strides or clips are an error that names which."""
    with pytest.raises(ValueError, match=message):
        wrong()


def test_shuffled_clips_have_the_same_frames_in_another_order():
    """In training any order, in a test that of the clip's number, the same for every video and every time."""
    torch.manual_seed(0)
    ordered = Dense(frames=16, stride=2)
    clip, again = (Shuffled(ordered).train(32) for _ in range(2))
    assert sorted(clip) == sorted(again) == list(range(0, 32, 2))
    assert clip != again != sorted(clip)
    first, second = Shuffled(ordered).test(64, 2)
    assert [sorted(first), sorted(second)] == ordered.test(64, 2)
    assert Shuffled(ordered).test(64, 2) == [first, second]
    assert [frame - min(first) for frame in first] != [frame - min(second) for frame in second]
