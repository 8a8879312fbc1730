"""The binary layer: Y = α·(sign(X) ⊛ sign(F)), by XNOR and a count of bits (Rastegari et al. 2016)."""
