"""Figures of matplotlib as files."""

import cv2
import numpy as np
from matplotlib.figure import Figure

from swinv2.training.figures import save_figure


def test_letters_that_the_font_does_not_have(tmp_path):
    """A name in any alphabet is no reason for a warning, and the figure is there."""
    figure = Figure()
    figure.suptitle("猫")
    save_figure(tmp_path / "figure.png", figure)
    assert np.ptp(cv2.imread(str(tmp_path / "figure.png"))) > 100
