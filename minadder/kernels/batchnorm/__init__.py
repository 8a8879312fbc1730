"""Batch normalisation: y = γ·(x − μ) / √(σ² + ε) + β (Chen et al. 2020, Eq. 10, with ε)."""
