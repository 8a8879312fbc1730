"""The adder (ℓ1) layer: Y = −Σ |X − F| (Chen et al. 2020, Eq. 2)."""
