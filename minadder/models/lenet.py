"""LeNet-5-BN, the papers' network for MNIST."""

from __future__ import annotations

from minadder import nn
from minadder.checks import flag, whole
from minadder.models.pretrained import load_lenet5_bn
from minadder.nn.convert import activation, check_kind, fully_connected, windowed


def lenet5_bn(
    layer: str = "adder", num_classes: int = 10, in_channels: int = 1, pretrained: bool = False
) -> nn.Sequential:
    """Return LeNet-5 with batch norm for images of 32×32 (Chen et al. 2020, Sec. 4.1).

    5×5×6 – BN – ReLU – pool 2 – 5×5×16 – BN – ReLU – pool 2 – 5×5×120 – BN – ReLU – FC 84 – BN – ReLU – FC, where all
    five weight layers are of the chosen kind. The adder and the binary net have BN on the logits too, since an adder's
    output is never above 0; the CNN has a bias there instead. The binary net has Hardtanh in place of ReLU.

    Pooling takes the mean, as LeNet-5's subsampling does; the papers do not say. With the maximum instead, the adder
    net's test accuracy on MNIST was about 0.1 % lower.

    Parameters
    ----------
    layer
        "conv", "adder" or "binary".
    num_classes
        The size of the output.
    in_channels
        Channels of the images.
    pretrained
        Whether to return, in evaluation, the net trained on MNIST, with the weights that come with the package: as
        "adder" (99.48 % of the test images right) or as "conv" (99.55 %), of 10 classes and 1 channel.

    Returns
    -------
    A network from images (N, in_channels, 32, 32) to logits (N, num_classes).

    Raises
    ------
    TypeError, ValueError
        For an unknown kind of layer, a size below 1, a net of which there are no pretrained weights, and weights that
        are not those of the package.

    Notes
    -----
    The pretrained weights are those of `minadder train lenet5-bn --layer adder --data mnist --epochs 50`, seed 0
    (benchmarks/results/pretrained.txt: date, versions, processor), with the running statistics as training left them.
    They are loaded as by `ma.load(net, "minadder/models/weights/lenet5_bn-adder.safetensors")`.

    The images must be as `data.mnist` makes them: 28×28, white on black, the digit 20×20 in the middle, pixels
    0 … 255; 2 pixels of black around them; then 25.51 subtracted, and divided by 70.18. On other pictures they do
    badly: of scikit-learn's digits as `data.digits` makes them, whose strokes fill all 32×32, the adder net tells 11 %
    and the CNN 39 %; made 16×16 and 18×18 and put in the middle of black, 61 % and 87 %. The 5,000 of `data.mnist5k`
    are among MNIST's training images: both nets tell them all.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import models
    >>> models.lenet5_bn("adder")(np.zeros((2, 1, 32, 32), np.float32)).shape
    (2, 10)
    >>> image = np.zeros((28, 28), np.uint8)
    >>> image[4:24, 13:15] = 255  # a stroke from top to bottom
    >>> x = (np.pad(image, 2).reshape(1, 1, 32, 32) - 25.51) / 70.18
    >>> models.lenet5_bn("adder", pretrained=True)(x.astype(np.float32)).numpy().argmax(1)
    array([1])
    """
    check_kind(layer)
    num_classes = whole(num_classes, "num_classes", 1)
    modules: dict[str, nn.Module] = {
        "conv1": windowed(layer, in_channels, 6, 5),
        "bn1": nn.BatchNorm2d(6),
        "relu1": activation(layer),
        "pool1": nn.AvgPool2d(2),
        "conv2": windowed(layer, 6, 16, 5),
        "bn2": nn.BatchNorm2d(16),
        "relu2": activation(layer),
        "pool2": nn.AvgPool2d(2),
        "conv3": windowed(layer, 16, 120, 5),
        "bn3": nn.BatchNorm2d(120),
        "relu3": activation(layer),
        "flatten": nn.Flatten(),
        "fc1": fully_connected(layer, 120, 84),
        "bn4": nn.BatchNorm1d(84),
        "relu4": activation(layer),
    }
    if layer == "conv":
        modules["fc2"] = nn.Linear(84, num_classes)
    else:
        modules["fc2"] = fully_connected(layer, 84, num_classes)
        modules["bn5"] = nn.BatchNorm1d(num_classes)
    net = nn.Sequential(modules)
    if flag(pretrained, "pretrained"):
        load_lenet5_bn(net, layer, num_classes, in_channels)
    return net
