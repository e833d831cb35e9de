"""Regions of interest: pooling, heads, sampling and losses."""
