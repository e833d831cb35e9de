from benchmarks.windows import EDGES, SPACINGS, WINDOWS, mean, report
from swinv2.commands.window_sweep import Point


def test_report_compares_the_means_of_each_window():
    """Runs of either spacing become mean and deviation, and the difference of the means in points."""
    runs = {
        spacing: [
            [Point(edge, window, 0.5 + 0.1 * seed + gain) for edge in EDGES for window in WINDOWS] for seed in (0, 1)
        ]
        for spacing, gain in zip(SPACINGS, (0.02, 0.0), strict=True)
    }
    text = report(runs)
    assert text.count("| 0.570 ± 0.071 | 0.550 ± 0.071 | +2.0 |") == len(EDGES) * len(WINDOWS)
    assert f"| {EDGES[1]} | {WINDOWS[-1]} |" in text
    assert mean(runs["linear"])[0] == Point(EDGES[0], WINDOWS[0], 0.55)
