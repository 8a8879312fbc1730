"""Numbers only: each folder is one operation, as NumPy reference and as Numba kernel; no Tensor is known here."""
