"""Blocks on a CPU."""
