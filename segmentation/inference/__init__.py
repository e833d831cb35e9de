"""From an image of any size to the class of every pixel."""
