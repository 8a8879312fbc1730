"""Pooling: the largest or the mean value of each window."""
