"""CIFAR-10 and -100: where they are looked for, how they are read and verified, on small archives of that layout."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from minadder import data
from minadder.data import cifar

TRAIN_EACH, TEST_EACH = 5, 2
"""Images of each class in the small archives; there are 5,000 and 1,000 in CIFAR-10."""


class Small(NamedTuple):
    """The content of a small archive."""

    archive: cifar.Archive
    files: dict[str, bytes]
    images: dict[str, NDArray[np.uint8]]
    labels: dict[str, NDArray[np.uint8]]


def make(archive: cifar.Archive) -> Small:
    """Return random images in the layout of an archive, the same number of each class, and what is known of them."""
    rng = np.random.default_rng(archive.classes)
    images, labels, files = {}, {}, {}
    for part, names, each in (("train", archive.train, TRAIN_EACH), ("test", archive.test, TEST_EACH)):
        labels[part] = rng.permutation(np.repeat(np.arange(archive.classes, dtype=np.uint8), each))
        images[part] = rng.integers(0, 256, (len(labels[part]), 3, 32, 32), dtype=np.uint8)
        images[part][:, 2] //= 2  # so that the channels differ
        others = rng.integers(0, 20, (len(labels[part]), archive.label_bytes - 1), dtype=np.uint8)
        records = np.concatenate([others, labels[part][:, None], images[part].reshape(-1, 3072)], axis=1)
        for name, rows in zip(names, np.split(records, len(names)), strict=True):
            files[name] = rows.tobytes()
    count, more = (archive.classes * each for each in (TRAIN_EACH, TEST_EACH))
    small = replace(archive, train_images=count, test_images=more, md5=hashlib.md5(pack(archive, files)).hexdigest())
    return Small(small, files, images, labels)


def pack(archive: cifar.Archive, files: dict[str, bytes]) -> bytes:
    """Return an archive with some more files in it, as the real ones have, in no particular order."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        folder = tarfile.TarInfo(archive.folder)
        folder.type = tarfile.DIRTYPE
        packed.addfile(folder)
        for name, content in sorted({**files, "readme.html": b"<html>"}.items(), key=lambda item: item[0][::-1]):
            member = tarfile.TarInfo(f"{archive.folder}/{name}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    content = bytearray(stream.getvalue())
    content[4:8] = bytes(4)  # the time of packing
    return bytes(content)


@pytest.fixture(params=["CIFAR10", "CIFAR100"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Small:
    """A small stand-in for a data set, known by its own checksum and counts, and folders of its own."""
    content = make(getattr(cifar, request.param))
    monkeypatch.setattr(cifar, request.param, content.archive)
    monkeypatch.setenv("MINADDER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return content


def put(small: Small, folder: Path, packed: bool) -> Path:
    """Write the archive, or what it unpacks to, into a folder; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    if packed:
        place = folder / small.archive.file
        place.write_bytes(pack(small.archive, small.files))
        return place
    place = folder / small.archive.folder
    place.mkdir()
    for name, content in small.files.items():
        (place / name).write_bytes(content)
    return place


def assert_is(result: tuple[data.Dataset, data.Dataset], small: Small) -> None:
    """Compare with the definition: standardised by the mean and deviation of each channel of the training images."""
    source = small.images["train"].astype(np.float64)
    mean, deviation = source.mean(axis=(0, 2, 3), keepdims=True), source.std(axis=(0, 2, 3), keepdims=True)
    for dataset, part in zip(result, ("train", "test"), strict=True):
        np.testing.assert_allclose(dataset.inputs, (small.images[part] - mean) / deviation, atol=1e-6)
        np.testing.assert_array_equal(dataset.labels, small.labels[part])
        assert (dataset.name, dataset.num_classes) == (small.archive.name, small.archive.classes)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("folder", ["data", "data/NAME", "cache/minadder", "cache/minadder/NAME"])
def test_the_archive_is_found_in_every_folder_packed_or_not(
    small: Small, tmp_path: Path, folder: str, packed: bool
) -> None:
    put(small, tmp_path / folder.replace("NAME", small.archive.name), packed)
    assert_is(data.load(small.archive.name), small)


def test_the_unpacked_folder_comes_before_the_archive_and_the_users_before_the_cache(
    small: Small, tmp_path: Path
) -> None:
    put(small, tmp_path / "data", packed=False)
    for broken in (tmp_path / "data", tmp_path / "cache" / "minadder"):
        broken.mkdir(parents=True, exist_ok=True)
        (broken / small.archive.file).write_bytes(b"broken")
    assert_is(data.load(small.archive.name), small)


def test_each_channel_has_mean_0_and_deviation_1(small: Small, tmp_path: Path) -> None:
    put(small, tmp_path / "data", packed=True)
    train, _ = data.load(small.archive.name)
    np.testing.assert_allclose(train.inputs.mean(axis=(0, 2, 3), dtype=np.float64), 0, atol=1e-6)
    np.testing.assert_allclose(train.inputs.std(axis=(0, 2, 3), dtype=np.float64), 1, atol=1e-6)


def test_without_files_the_error_says_what_to_get_and_where_to_put_it(small: Small, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        data.load(small.archive.name)
    message = str(caught.value)
    wanted = (small.archive.folder, small.archive.file, cifar.PAGE, tmp_path / "data" / small.archive.name)
    for part in (*map(str, wanted), str(tmp_path / "cache" / "minadder")):
        assert part in message
    assert "\n" not in message
    assert "MINADDER_DATA" not in message


def test_without_a_data_folder_the_error_names_the_variable(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINADDER_DATA")
    with pytest.raises(FileNotFoundError, match="a folder that MINADDER_DATA names"):
        data.load(small.archive.name)


@pytest.mark.parametrize("damage", ["cut", "bit", "empty"])
def test_a_damaged_archive_is_named_with_both_checksums(small: Small, tmp_path: Path, damage: str) -> None:
    place = put(small, tmp_path / "data", packed=True)
    content = bytearray(place.read_bytes())
    if damage == "bit":
        content[len(content) // 2] ^= 1
    place.write_bytes({"cut": content[:-100], "bit": content, "empty": b""}[damage])
    with pytest.raises(ValueError, match="damaged, altered or not all there") as caught:
        data.load(small.archive.name)
    for part in (str(place), small.archive.md5, hashlib.md5(place.read_bytes()).hexdigest(), cifar.PAGE):
        assert part in str(caught.value)


def test_a_missing_file_is_named(small: Small, tmp_path: Path) -> None:
    place = put(small, tmp_path / "data", packed=False)
    name = small.archive.train[-1]
    (place / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks {name}. Get {small.archive.file}") as caught:
        data.load(small.archive.name)
    assert str(place) in str(caught.value)


@pytest.mark.parametrize("change", [-1, 1, -3072])
def test_a_file_of_another_size_is_named(small: Small, tmp_path: Path, change: int) -> None:
    place = put(small, tmp_path / "data", packed=False) / small.archive.test[0]
    content = place.read_bytes()
    place.write_bytes(content[:change] if change < 0 else content + bytes(change))
    with pytest.raises(ValueError, match=f"has {len(content) + change} bytes, expected {len(content)} ") as caught:
        data.load(small.archive.name)
    assert str(place) in str(caught.value)
    assert cifar.PAGE in str(caught.value)


@pytest.mark.parametrize("label", [0, 255])
def test_labels_that_cannot_be_right_are_named(small: Small, tmp_path: Path, label: int) -> None:
    place = put(small, tmp_path / "data", packed=False) / small.archive.test[0]
    content = bytearray(place.read_bytes())
    at = small.archive.label_bytes - 1
    content[at] = label if content[at] != label else label + 1
    place.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged or altered, since \d+ images of class \d+ are there") as caught:
        data.load(small.archive.name)
    assert small.archive.test[0] in str(caught.value)
    assert str(place.parent) in str(caught.value)


def test_a_huge_file_is_refused_before_it_is_read(small: Small, tmp_path: Path) -> None:
    place = put(small, tmp_path / "data", packed=False) / small.archive.train[0]
    with place.open("r+b") as file:
        file.truncate(1 << 36)  # sparse
    with pytest.raises(ValueError, match=f"has {1 << 36} bytes, expected ") as caught:
        data.load(small.archive.name)
    assert str(place) in str(caught.value)


def test_a_huge_archive_is_refused_before_it_is_read(small: Small, tmp_path: Path) -> None:
    place = put(small, tmp_path / "data", packed=True)
    with place.open("r+b") as file:
        file.truncate(1 << 36)
    with pytest.raises(ValueError, match=f"is another file: it has {1 << 36} bytes") as caught:
        data.load(small.archive.name)
    assert str(place) in str(caught.value)


@pytest.mark.parametrize("kind", ["huge", "link", "device", "pipe", "cut", "no tar"])
def test_an_archive_whose_checksum_fits_and_whose_content_does_not_is_named(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    name = f"{small.archive.folder}/{small.archive.test[0]}"
    member = tarfile.TarInfo(name)
    member.size = 1 << 40 if kind == "huge" else 0
    member.type = {"link": tarfile.SYMTYPE, "device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE}.get(
        kind, tarfile.REGTYPE
    )
    member.linkname = "/etc/passwd" if kind == "link" else ""
    content = gzip.compress(b"no tar" * 100 if kind == "no tar" else member.tobuf())
    place = put(small, tmp_path / "data", packed=True)
    place.write_bytes(content[:-20] if kind == "cut" else content)
    archive = replace(small.archive, md5=hashlib.md5(place.read_bytes()).hexdigest())
    monkeypatch.setattr(cifar, small.archive.name.upper(), archive)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        data.load(small.archive.name)
    assert str(place) in str(caught.value)
    assert cifar.PAGE in str(caught.value)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_changed_bytes_of_an_archive_give_named_errors_alone(
    small: Small, tmp_path: Path, drawn: st.DataObject
) -> None:
    """Its checksum is made to fit, so that all behind it is tried."""
    place = tmp_path / "data" / small.archive.file
    place.parent.mkdir(exist_ok=True)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as packed:
        member = tarfile.TarInfo(f"{small.archive.folder}/{small.archive.test[0]}")
        member.pax_headers = {"comment": "é"}
        member.size = len(small.files[small.archive.test[0]])
        packed.addfile(member, io.BytesIO(small.files[small.archive.test[0]]))
    inside = drawn.draw(st.booleans())
    content = bytearray(stream.getvalue() if inside else gzip.compress(stream.getvalue(), 1))
    for _ in range(drawn.draw(st.integers(1, 3))):
        at = drawn.draw(st.integers(0, min(2500, len(content) - 1)))
        content[at : at + drawn.draw(st.integers(0, 3))] = drawn.draw(st.binary(max_size=3))
    place.write_bytes(gzip.compress(content, 1) if inside else content)
    archive = replace(small.archive, md5=hashlib.md5(place.read_bytes()).hexdigest())
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        cifar._load(archive)
    assert str(place) in str(caught.value)


@pytest.mark.parametrize("channel", range(3))
def test_a_channel_of_one_value_is_named(small: Small, tmp_path: Path, channel: int) -> None:
    place = put(small, tmp_path / "data", packed=False)
    size = small.archive.label_bytes + 3072
    for name in small.archive.train:
        records = np.frombuffer((place / name).read_bytes(), np.uint8).reshape(-1, size).copy()
        records[:, small.archive.label_bytes :].reshape(-1, 3, 1024)[:, channel] = 7
        (place / name).write_bytes(records.tobytes())
    with pytest.raises(
        ValueError, match=f"damaged or altered, since the {cifar.COLOURS[channel]} of all pixels is 7"
    ) as got:
        data.load(small.archive.name)
    assert str(place) in str(got.value)


def test_pipes_and_folders_in_place_of_files_are_named(small: Small, tmp_path: Path) -> None:
    place = put(small, tmp_path / "data", packed=False)
    file = place / small.archive.test[0]
    file.unlink()
    for make in (os.mkfifo, os.mkdir):
        make(file)
        with pytest.raises(OSError, match=rf"it is a .*, not a.* file: '.*{file.name}'"):
            data.load(small.archive.name)
        file.rename(tmp_path / make.__name__)
    place.rename(tmp_path / "away")
    os.mkfifo(tmp_path / "data" / small.archive.file)
    with pytest.raises(OSError, match="it is a pipe"):
        data.load(small.archive.name)


def test_what_is_known_of_the_real_archives() -> None:
    for archive in (cifar.CIFAR10, cifar.CIFAR100):
        assert (archive.train_images, archive.test_images) == (50_000, 10_000)
        assert archive.train_images % (archive.classes * len(archive.train)) == 0
    assert cifar.CIFAR10.md5 == "c32a1d4ab5d03f1284b67883e8d87530"
    assert cifar.CIFAR100.md5 == "03b5dce01913d631647c71ecec9e9cb8"


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_real_archive(name: str) -> None:
    """50,000 and 10,000 images; the means of CIFAR-10's channels on the scale 0 … 1 are 0.4914, 0.4822, 0.4465."""
    try:
        train, test = data.load(name)
    except FileNotFoundError:
        pytest.skip(f"{os.environ.get('MINADDER_DATA', 'MINADDER_DATA')} holds no {name}")
    assert train.inputs.shape == (50_000, 3, 32, 32)
    assert test.inputs.shape == (10_000, 3, 32, 32)
    np.testing.assert_allclose(train.inputs.std(axis=(0, 2, 3), dtype=np.float64), 1, atol=1e-5)
    if name == "cifar10":
        black = train.inputs.min(axis=(0, 2, 3))
        np.testing.assert_allclose(black, [-0.4914 / 0.2470, -0.4822 / 0.2435, -0.4465 / 0.2616], atol=2e-3)
