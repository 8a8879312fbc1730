"""The CNN twins of the measured networks in plain PyTorch, as its users write them.

The module can be imported without PyTorch; nothing in it can be called then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minadder.bench.torch_layers import torch
from minadder.data import Dataset


def lenet5_bn() -> Any:
    """Return the twin of `models.lenet5_bn("conv")`."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5, bias=False),
        nn.BatchNorm2d(120),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(120, 84, bias=False),
        nn.BatchNorm1d(84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


class Block(torch.nn.Module if torch else object):  # type: ignore[misc]  # no base without PyTorch
    """Two 3×3 convolutions beside a shortcut (He et al. 2016, Sec. 4.2)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        nn = torch.nn
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Identity()
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Any) -> Any:
        """Return the block's output."""
        relu = torch.nn.functional.relu
        y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(y + self.downsample(x))


def resnet20() -> Any:
    """Return the twin of `models.resnet20("conv")`: first and last layer, and 1×1 downsamples, as there."""
    nn = torch.nn
    sizes = ((16, 16, 1), (16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 32, 1), (32, 64, 2))
    blocks = [Block(*size) for size in (*sizes, (64, 64, 1), (64, 64, 1))]
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        *blocks,
        nn.AvgPool2d(8),
        nn.Conv2d(64, 10, 1, bias=False),
        nn.BatchNorm2d(10),
        nn.Flatten(),
    )


def endless(inputs: Any, labels: Any, batch: int) -> Iterator[tuple[Any, Any]]:
    """Give batches of tensors for ever, in a new order each time round."""
    while True:
        for members in torch.randperm(len(labels)).split(batch):
            yield inputs[members], labels[members]


class Training:
    """Steps of plain eager training, as a case to measure: a step a run, its batch gathered from the data."""

    def __init__(self, net: Any, dataset: Dataset, batch: int, lr: float) -> None:
        self.net = net.train()
        self.batches = endless(torch.from_numpy(dataset.inputs), torch.from_numpy(dataset.labels), batch)
        self.optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
        self.loss = torch.nn.CrossEntropyLoss()

    def __call__(self) -> float:
        """Do a step, and return the loss."""
        inputs, labels = next(self.batches)
        self.optimizer.zero_grad()
        loss = self.loss(self.net(inputs), labels)
        loss.backward()
        self.optimizer.step()
        value: float = loss.item()
        return value
