"""From a video of any length to scores over time."""
