"""Classification of videos of any length over time."""
