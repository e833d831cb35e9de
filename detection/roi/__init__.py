"""Regions of interest: pooled, and what is said of each."""
