from swinv2.weights.load_report import LoadReport, listed


def test_a_long_report_is_cut():
    """Of many groups of names the first are listed and the others counted."""
    names = tuple(f"part{i}.layer.weight" for i in range(11))
    report = LoadReport("ours", (), names, (), (), ((8, 8),), "the checkpoint")
    assert str(report).endswith("part7.layer.weight and 3 more")


def test_few_names_are_listed_in_full():
    """Many are grouped."""
    assert listed(["head.weight", "head.bias"]) == "head.weight, head.bias"
    assert listed([f"fpn.{i}.weight" for i in range(5)]).startswith("fpn.0.weight, ")


def test_heads_that_nothing_takes_are_warned_of(caplog):
    """Of a model with heads of its own; a backbone alone has no use for any."""
    report = LoadReport("ours", (), (), ("auxiliary_head.weight", "norm0.weight"), (), ((8, 8),), "the checkpoint")
    report.warn("best.pth", "", "norm3.")
    assert caplog.text == ""
    report.warn("best.pth", "backbone.", "backbone.norm3.")
    assert "best.pth: 1 tensors beside the backbone are not used: auxiliary_head.weight" in caplog.text
