"""The weights that come with the package: LeNet-5-BN trained on MNIST, as AdderNet and as CNN.

benchmarks/results/pretrained.txt says how they came about.
"""

from __future__ import annotations

from pathlib import Path

from minadder import nn
from minadder.checkpoint import content_digest, most_for, read_arrays
from minadder.files import shown

FOLDER = Path(__file__).parent / "weights"

LENET5_BN = {
    "adder": "22775eb3ca8ad80490dd3bb09bf4f145cdc6a3968312b479aa3a6c0952305f0a",
    "conv": "0abf1c2fae7e40e7244042c64b90eb727436014a8d5795da4e548f2d32cc8ce2",
}
"""By kind of layer, the SHA-256 of names, dtypes, shapes and values of its weights."""


def load_lenet5_bn(net: nn.Module, layer: str, num_classes: int, in_channels: int) -> None:
    """Load the weights of LeNet-5-BN trained on MNIST, after which the net is in evaluation.

    Raises
    ------
    ValueError
        For another net than those that there are weights of, and for weights that are not those of the package.
    OSError
        When they cannot be read.
    """
    if layer not in LENET5_BN or (num_classes, in_channels) != (10, 1):
        raise ValueError(
            f"lenet5_bn has pretrained weights for layer={' and layer='.join(map(repr, LENET5_BN))} with 10 classes "
            f"and 1 channel (MNIST), not for layer={layer!r} with num_classes={num_classes} and "
            f"in_channels={in_channels}: choose one of those, or train the net without pretrained=True"
        )
    path = FOLDER / f"lenet5_bn-{layer}.safetensors"
    again = "it comes with minadder, so install minadder anew"
    try:
        arrays, state = read_arrays(path, most_for(net))
    except (OSError, ValueError) as error:
        raise type(error)(f"{error}; {again}") from None
    found = content_digest(arrays, state)
    if found != LENET5_BN[layer]:
        raise ValueError(
            f"{shown(path)} holds other weights than those of minadder (SHA-256 {found[:16]}…, not "
            f"{LENET5_BN[layer][:16]}…); {again}"
        )
    net.load_state_dict(arrays)
    net.eval()
