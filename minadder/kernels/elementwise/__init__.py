"""Functions of each element that are worth a kernel: the ReLU."""
