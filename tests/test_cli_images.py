"""`minadder train` with images in colour: CIFAR, folders of images, and networks that do not fit them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_data_cifar import make, put

import minadder as ma
from minadder import cli, data, models
from minadder.commands import train
from minadder.data import cifar
from minadder.models.networks import NETWORKS

CLASSES = ("cat", "dog", "eel")


class Seen(Exception):  # noqa: N818  (no error: it ends a command when what was to be seen has been)
    """Ends a command before it trains."""


@pytest.fixture
def small_cifar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Put a small CIFAR-10 where it is looked for; return the path of its archive."""
    content = make(cifar.CIFAR10)
    monkeypatch.setattr(cifar, "CIFAR10", content.archive)
    monkeypatch.setenv("MINADDER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return put(content, tmp_path / "data", packed=True)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Return a folder of images, three classes of a colour each."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 2)):
        for label, name in enumerate(CLASSES):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = rng.integers(0, 60, (70, 90, 3))
                image[:, :, label] += 180
                Image.fromarray(image.astype(np.uint8)).save(folder / f"{number}.jpg")
    return tmp_path / "pets"


def run(network: str, out: Path, *arguments: Any) -> int:
    """Run `minadder train` in this process and return its exit code."""
    return cli.main(["train", network, *map(str, arguments), "--out", str(out)])


def history(out: Path) -> list[dict[str, Any]]:
    """Return the history that a training left."""
    return json.loads((out / "history.json").read_text())


@pytest.mark.parametrize(("network", "layer"), [("resnet20", "adder"), ("resnet20", "conv"), ("lenet5-bn", "adder")])
def test_networks_train_on_cifar(small_cifar: Path, tmp_path: Path, network: str, layer: str) -> None:
    out = tmp_path / "a"
    assert run(network, out, "--data", "cifar10", "--layer", layer, "--epochs", 2) == 0
    assert [entry["epoch"] for entry in history(out)] == [1, 2]
    net = models.build(network, layer, 10, (3, 32, 32))
    ma.load(net, out / "net.safetensors")
    assert ma.evaluate(net.eval(), data.load("cifar10")[1])[1] == history(out)[-1]["test_accuracy"]
    for name in ("curves.png", "filters.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def test_training_images_of_cifar_are_shifted_and_mirrored_and_test_images_are_not(
    small_cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaders: list[data.Loader] = []

    def fit(net: ma.nn.Module, train: data.Loader, test: data.Loader, **options: Any) -> None:
        loaders.extend((train, test))
        raise Seen

    monkeypatch.setattr(train.ma, "fit", fit)
    with pytest.raises(Seen):
        run("resnet20", tmp_path / "a", "--data", "cifar10")
    assert loaders[0].transform == data.Compose([data.RandomCrop(32, padding=4), data.RandomHorizontalFlip()])
    assert loaders[1].transform is None
    assert loaders[1].batch_size == 1000


@pytest.mark.parametrize(
    ("source", "augment", "wanted"),
    [
        ("cifar10", "shift", data.Compose([data.RandomCrop(32, padding=4)])),
        ("cifar10", "none", None),
        ("digits", "shift", data.Compose([data.RandomCrop(32, padding=4)])),
        ("digits", "auto", None),
    ],
)
def test_what_is_done_at_random_is_a_choice(
    small_cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, augment: str, wanted: Any
) -> None:
    loaders: list[data.Loader] = []

    def fit(net: ma.nn.Module, train: data.Loader, test: data.Loader, **options: Any) -> None:
        loaders.extend((train, test))
        raise Seen

    monkeypatch.setattr(train.ma, "fit", fit)
    with pytest.raises(Seen):
        run("lenet5-bn", tmp_path / "a", "--data", source, "--augment", augment)
    assert [loader.transform for loader in loaders] == [wanted, None]


def test_random_parts_are_for_folders_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lenet5-bn", tmp_path / "a", "--data", "digits", "--augment", "crop") == 1
    assert "--augment crop is for an imagefolder, not for digits: choose shift or" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """Return a folder of grey images of 28×28 in two classes, not split."""
    rng = np.random.default_rng(0)
    for label, name in enumerate("pq"):
        (tmp_path / "letters" / name).mkdir(parents=True)
        for number in range(10):
            image = rng.integers(0, 100, (28, 28), dtype=np.uint8)
            image[:, 14 * label : 14 * label + 14] += 150
            Image.fromarray(image).save(tmp_path / "letters" / name / f"{number}.png")
    return tmp_path / "letters"


def test_grey_images_of_another_size_train_a_network_and_the_command_says_what_they_became(
    letters: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a"
    arguments = ("--data", "imagefolder", letters, "--layer", "conv", "--epochs", 2, "--batch-size", 4)
    assert run("lenet5-bn", out, *arguments) == 0
    assert (
        "16 images to train on and 4 to test, 2 classes: imagefolder letters at 32×32, resized from 28×28, grey, "
        "shift, test=0.2 held out by seed 0\n"
    ) in capsys.readouterr().out
    net = models.build("lenet5-bn", "conv", 2, (1, 32, 32))
    ma.load(net, out / "net.safetensors")
    test = data.imagefolder(letters, 32)[1]
    assert ma.evaluate(net.eval(), test)[1] == history(out)[-1]["test_accuracy"]


def test_a_training_does_not_go_on_with_what_is_done_otherwise_at_random(
    letters: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--data", "imagefolder", letters, "--epochs", 2, "--out", tmp_path / "a")
    assert run("mlp", tmp_path / "a", *arguments) == 0
    assert run("mlp", tmp_path / "a", *arguments, "--augment", "none", "--resume") == 1
    errors = capsys.readouterr().err
    assert (
        "is of another training: its data is 'imagefolder letters at 32×32, resized from 28×28, grey, shift" in errors
    )
    assert run("mlp", tmp_path / "a", *arguments, "--augment", "shift", "--resume") == 0


@pytest.mark.parametrize("source", ["cifar10", "imagefolder"])
def test_a_quick_training_takes_a_fair_sample_once(
    small_cifar: Path, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    loaders: list[data.Loader] = []
    fit = ma.fit

    def seen(net: ma.nn.Module, train: data.Loader, test: data.Loader, **options: Any) -> Any:
        loaders.extend((train, test))
        return fit(net, train, test, **options)

    monkeypatch.setattr(train, "QUICK_EXAMPLES", 6)
    monkeypatch.setattr(train.ma, "fit", seen)
    words = ["imagefolder", pets] if source == "imagefolder" else [source]
    assert run("resnet20" if source == "cifar10" else "mlp", tmp_path / "a", "--data", *words, "--quick") == 0
    assert len(history(tmp_path / "a")) == 1
    assert [len(loader.dataset) for loader in loaders] == [6, 6]
    if source == "imagefolder":
        assert set(loaders[0].dataset.take(np.arange(6), (0,))[1].tolist()) == {0, 1, 2}


def test_colours_in_folders_are_learnt_at_the_size_of_the_network(pets: Path, tmp_path: Path) -> None:
    out = tmp_path / "a"
    arguments = ("--data", "imagefolder", pets, "--epochs", 10, "--batch-size", 6, "--layer", "conv", "--lr", 0.01)
    assert run("mlp", out, *arguments) == 0
    assert history(out)[-1]["test_accuracy"] == 1
    net = models.build("mlp", "conv", len(CLASSES), (3, 32, 32))
    ma.load(net, out / "net.safetensors")
    assert ma.evaluate(net.eval(), data.Loader(data.imagefolder(pets, 32)[1]))[1] == 1


def test_the_top_5_of_a_hundred_folders_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in range(200):
        folder = tmp_path / "many" / ("train", "val")[place % 2] / f"{place // 2:02}"
        folder.mkdir(parents=True)
        Image.new("RGB", (40, 40), (place, place // 2, 0)).save(folder / "0.png")
    out = tmp_path / "a"
    assert run("mlp", out, "--data", "imagefolder", tmp_path / "many", "--epochs", 1) == 0
    last = history(out)[0]
    assert last["test_top5_accuracy"] >= last["test_accuracy"]
    shares = [f"{100 * last[name]:.2f} %" for name in ("test_accuracy", "test_top5_accuracy")]
    assert f"test accuracy {shares[0]}, top-5 {shares[1]}, after epoch 1;" in capsys.readouterr().out


def test_resnet18_trains_on_a_folder_of_images(pets: Path, tmp_path: Path) -> None:
    out = tmp_path / "a"
    for path in pets.rglob("[13].jpg"):
        path.unlink()
    assert run("resnet18", out, "--data", "imagefolder", pets, "--epochs", 1, "--batch-size", 4) == 0
    net = models.resnet18("adder", num_classes=len(CLASSES))
    ma.load(net, out / "net.safetensors")
    assert np.isfinite(history(out)[0]["test_loss"])


@pytest.mark.parametrize("source", ["cifar10", "imagefolder"])
def test_an_interrupted_training_resumes_to_the_same_bits(
    small_cifar: Path, pets: Path, tmp_path: Path, source: str
) -> None:
    arguments = ("--data", source, *([pets] if source == "imagefolder" else []), "--epochs", 3, "--batch-size", 5)
    assert run("resnet20", tmp_path / "whole", *arguments) == 0
    batches = data.Loader._batches

    def stop(loader: data.Loader, epoch: int) -> Iterator[Any]:
        for number, batch in enumerate(batches(loader, epoch)):
            if loader.shuffle and (epoch, number) == (1, 1):
                raise KeyboardInterrupt
            yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data.Loader, "_batches", stop)
        assert run("resnet20", tmp_path / "stopped", *arguments) == 130
    assert run("resnet20", tmp_path / "stopped", *arguments, "--resume") == 0
    whole, stopped = ((tmp_path / name / "net.safetensors").read_bytes() for name in ("whole", "stopped"))
    assert whole == stopped


def test_an_image_that_is_damaged_is_named_and_the_training_goes_on_once_it_is_mended(
    pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--data", "imagefolder", pets, "--epochs", 2)
    assert run("mlp", tmp_path / "whole", *arguments) == 0
    path = pets / "train" / "dog" / "1.jpg"
    content = path.read_bytes()
    path.write_bytes(content[:300])
    assert run("mlp", tmp_path / "a", *arguments) == 1
    errors = capsys.readouterr().err
    assert f"{path} cannot be read as an image" in errors
    assert "put a sound copy in its place" in errors
    path.write_bytes(content)
    assert run("mlp", tmp_path / "a", *arguments, "--resume") == 0
    assert (tmp_path / "a" / "net.safetensors").read_bytes() == (tmp_path / "whole" / "net.safetensors").read_bytes()


def test_an_archive_that_is_damaged_is_named(
    small_cifar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_cifar.write_bytes(small_cifar.read_bytes()[:-9])
    assert run("resnet20", tmp_path / "a", "--data", "cifar10") == 1
    errors = capsys.readouterr().err
    assert f"{small_cifar} is damaged, altered or not all there" in errors
    assert cifar.PAGE in errors
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("network", ["resnet18", "resnet50"])
def test_networks_that_do_not_fit_the_data_are_named_with_those_that_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], network: str
) -> None:
    assert run(network, tmp_path / "a", "--data", "digits") == 1
    assert capsys.readouterr().err == (
        f"minadder: --data digits does not fit: {network} takes images of 224×224, not 32×32: for those there are "
        "lenet5-bn, lenetpp, mlp, vgg-small, resnet20, resnet32\n"
    )
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "cifar"), "invalid choice: 'cifar' (choose from digits, mnist5k, mnist, cifar10, cifar100, imagef"),
        (("--data", "imagefolder"), "imagefolder needs one path behind it, not none"),
        (("--data", "imagefolder", "a", "b"), "imagefolder needs one path behind it, not a b"),
        (("--data", "digits", "mlp"), "nothing may follow digits, but mlp does: name the network first"),
        (("--augment", "turn"), "invalid choice: 'turn'"),
        (("--schedule", "steep"), "invalid choice: 'steep'"),
    ],
)
def test_wrong_usage_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        run("mlp", tmp_path / "a", *arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("resnet18", tmp_path / "a", "--data", "imagefolder", tmp_path / "absent") == 1
    assert f"there is no folder {tmp_path / 'absent'}: images are expected at" in capsys.readouterr().err


def test_the_schedule_and_the_weight_decay_are_the_papers(
    pets: Path, letters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, float]] = []

    def fit(*arguments: Any, optimizer: Any, schedule: Any, **options: Any) -> None:
        seen.append((type(schedule).__name__, optimizer.param_groups[0]["weight_decay"]))
        raise Seen

    monkeypatch.setattr(train.ma, "fit", fit)
    for arguments in (
        ("--data", "imagefolder", pets),
        ("--data", "digits", "--schedule", "polynomial"),
        ("--data", "imagefolder", letters),
    ):
        with pytest.raises(Seen):
            run("mlp", tmp_path / str(len(seen)), *arguments)
    assert seen == [("Cosine", 1e-4), ("Polynomial", 5e-4), ("Cosine", 5e-4)]


def test_the_help_lists_every_network_and_data_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    text = capsys.readouterr().out
    for name in (*NETWORKS, *data.BY_NAME, "imagefolder PATH"):
        assert name in text
    assert "resnet18 (224×224)" in text
