"""Looking into nets: summaries, boundaries, graphs."""
