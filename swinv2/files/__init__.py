"""Files of any kind: whole, text, arrays."""
