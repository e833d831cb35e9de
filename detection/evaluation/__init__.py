"""Average precision, and where a detector is wrong."""
