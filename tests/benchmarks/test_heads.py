from benchmarks.heads import HEADS, TESTED, TESTS, report


def test_report_has_every_head_and_every_test():
    """Figures of two seeds become mean and deviation, and gains over the plain test of the same seed, in points."""
    rows = [
        {"head": head, "seed": seed, "test": test, "minutes": 2.0, "box": 0.5 + 0.1 * seed, "mask": 0.4 + 0.02 * gain}
        for head in HEADS
        for seed in range(2)
        for gain, test in enumerate(TESTS if head in TESTED else ["plain"])
    ]
    text = report(rows, seeds=2, steps=10)
    assert all(f"| {name} |" in text for name in (*HEADS, *TESTS))
    assert "| 0.550 ± 0.071 (0.500, 0.600) | 0.400 ± 0.000 (0.400, 0.400) | 2.0 ± 0.0 (2.0, 2.0) |" in text
    assert "| low scores kept (0.001) | +0.0 ± 0.0 | +2.0 ± 0.0 |" in text
