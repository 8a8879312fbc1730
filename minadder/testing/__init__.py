"""Testing operations of one's own: what to draw as inputs, and `check_function`, which says what is wrong with one."""

try:
    import hypothesis  # noqa: F401
except ImportError as error:
    raise ImportError('minadder.testing needs hypothesis: pip install "minadder[test]"') from error

# isort: split
from minadder.ops.samples import Sample
from minadder.testing.call import CheckError
from minadder.testing.function import check_function
from minadder.testing.lattice import (
    broadcastable_shapes,
    cotangent,
    dtypes,
    lattice_arrays,
    lattice_inputs,
    layouts,
    samples_of,
    seeds,
    shapes,
)
from minadder.testing.layers import Layer, lattice_layer, layers
from minadder.testing.layouts import LAYOUTS, read_only, same_bits
from minadder.testing.running import Result, run

__all__ = [
    "LAYOUTS",
    "CheckError",
    "Layer",
    "Result",
    "Sample",
    "broadcastable_shapes",
    "check_function",
    "cotangent",
    "dtypes",
    "lattice_arrays",
    "lattice_inputs",
    "lattice_layer",
    "layers",
    "layouts",
    "read_only",
    "run",
    "same_bits",
    "samples_of",
    "seeds",
    "shapes",
]
