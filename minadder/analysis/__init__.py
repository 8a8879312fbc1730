"""Looking into networks: how large their gradients are."""

from minadder.analysis.gradients import filter_gradient_norms

__all__ = ["filter_gradient_norms"]
