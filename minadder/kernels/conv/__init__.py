"""The convolution (cross-correlation) of the CNN twins: Y = Σ X·F."""
