"""Files in general: atomic writing, text, arrays, paths."""
