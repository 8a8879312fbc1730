"""One's own images: where they may lie, how they are split, what small ones become, and what is done at random."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from minadder import data
from minadder.data import folder_layout, held_images, pictures
from minadder.data.pictures import DEVIATION, MEAN
from minadder.data.transforms import shifted

GREY, COLOURS = "L", "RGB"


def make(
    folder: Path, counts: dict[str, int], size: tuple[int, int] = (28, 28), mode: str = GREY, seed: int = 0
) -> Path:
    """Write so many images of noise for each class; return the folder."""
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            shape = (size[1], size[0], *((3,) if mode == COLOURS else ()))
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / name / f"{number}.png")
    return folder


def read(folder: Path, files: Iterable[str]) -> np.ndarray:
    """Return the values in images: (N, channels, height, width)."""
    arrays = [np.asarray(Image.open(folder / file)) for file in files]
    return np.stack([array.reshape(*array.shape[:2], -1).transpose(2, 0, 1) for array in arrays])


def files_of(classes: dict[str, int]) -> list[str]:
    """Return the names of the files that `make` writes."""
    return [f"{name}/{file}" for name, count in classes.items() for file in sorted(f"{i}.png" for i in range(count))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=st.lists(st.integers(2, 30), min_size=2, max_size=5), share=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_a_split_takes_each_image_once_and_leaves_no_class_out(counts: list[int], share: float, seed: int) -> None:
    names = tuple(f"c{number}" for number in range(len(counts)))
    labels = np.repeat(np.arange(len(counts)), counts)
    files = folder_layout.Files(Path("a"), tuple(f"{i}.png" for i in range(len(labels))), labels, names)
    split, again = (folder_layout.held_out(files, share, seed) for _ in range(2))
    assert sorted([*split.train.files, *split.test.files]) == sorted(files.files)
    for part in (split.train, split.test):
        assert part.classes == names
        assert set(part.labels.tolist()) == set(range(len(counts)))
        assert [labels[int(file[:-4])] for file in part.files] == part.labels.tolist()
    for label, count in enumerate(counts):
        assert (split.test.labels == label).sum() == min(max(round(share * count), 1), count - 1)
    assert split.test.files == again.test.files


def test_class_folders_alone_are_split_by_the_seed(tmp_path: Path) -> None:
    root = make(tmp_path / "own", {"a": 20, "b": 10, "c": 2})
    train, test = data.imagefolder(root)
    assert np.bincount(train.labels).tolist() == [16, 8, 1]
    assert np.bincount(test.labels).tolist() == [4, 2, 1]
    assert train.classes == test.classes == ("a", "b", "c")
    same, other = (data.imagefolder(root, seed=seed)[1] for seed in (0, 1))
    np.testing.assert_array_equal(same.pixels, test.pixels)
    assert not np.array_equal(other.pixels, test.pixels)
    assert len(data.imagefolder(root, test=0.5)[1]) == 16
    assert repr(test) == (
        "HeldImages('imagefolder own at 28×28, grey, shift, test=0.2 held out by seed 0', 7 images of shape "
        "(1, 28, 28), 3 classes)"
    )


@pytest.mark.parametrize("part", ["val", "valid", "validation", "test"])
def test_the_folder_to_test_may_have_several_names(tmp_path: Path, part: str) -> None:
    make(tmp_path / "train", {"a": 3, "b": 2})
    make(tmp_path / part, {"a": 1, "b": 2}, seed=1)
    train, test = data.imagefolder(tmp_path)
    np.testing.assert_array_equal(train.pixels, read(tmp_path / "train", files_of({"a": 3, "b": 2})))
    np.testing.assert_array_equal(test.pixels, read(tmp_path / part, files_of({"a": 1, "b": 2})))
    assert "held out" not in train.name
    with pytest.raises(ValueError, match=f"test=0.3 asks for .* but .* has a folder of images to test, {part}: leave"):
        data.imagefolder(tmp_path, test=0.3)
    assert len(data.imagefolder(tmp_path / "train", test=0.5)[1]) == 3


def test_of_several_folders_to_test_val_is_taken(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "test", "val"), start=1):
        make(tmp_path / part, {"a": number, "b": number})
    (tmp_path / "docs").mkdir()
    assert [len(part) for part in data.imagefolder(tmp_path)] == [2, 6]
    for path in (tmp_path / "test").rglob("*.png"):
        path.rename(tmp_path / "test" / f"{path.parent.name}{path.name}")  # without classes, as ImageNet's
    assert [len(part) for part in data.imagefolder(tmp_path)] == [2, 6]


def test_a_folder_with_train_alone_is_split(tmp_path: Path) -> None:
    make(tmp_path / "own" / "train", {"a": 5, "b": 5})
    train, test = data.imagefolder(tmp_path / "own")
    assert (train.classes, len(train), len(test)) == (("a", "b"), 8, 2)
    assert train.name.endswith("held out by seed 0")


def test_train_and_test_may_be_the_names_of_classes(tmp_path: Path) -> None:
    make(tmp_path, {"train": 5, "test": 5, "tram": 5})
    assert data.imagefolder(tmp_path)[0].classes == ("test", "train", "tram")


@pytest.mark.parametrize("testing", [True, False])
def test_folders_of_both_layouts_are_named(tmp_path: Path, testing: bool) -> None:
    for part in ("train", "val") if testing else ("train",):
        make(tmp_path / part, {"a": 5, "b": 5})
    make(tmp_path, {"cat": 1, "eel": 2})
    with pytest.raises(ValueError, match=r"holds 'train' and, beside it, images in cat, eel, so that it is unclear"):
        data.imagefolder(tmp_path)


def test_a_folder_to_test_without_classes_is_named(tmp_path: Path) -> None:
    make(tmp_path / "train", {"a": 5, "b": 5})
    make(tmp_path, {"test": 2})
    with pytest.raises(ValueError, match=r"images in test, so that .* or name .*train itself"):
        data.imagefolder(tmp_path)


def test_what_cannot_be_split_or_told_apart_is_named(tmp_path: Path) -> None:
    make(tmp_path / "single", {"a": 5, "b": 1, "c": 1})
    with pytest.raises(ValueError, match="single holds one image alone of b, c, and a class takes two"):
        data.imagefolder(tmp_path / "single")
    make(tmp_path / "one", {"a": 5})
    with pytest.raises(ValueError, match="one holds one class alone, a, and to tell classes apart takes two"):
        data.imagefolder(tmp_path / "one")
    make(tmp_path / "none", {"a": 0, "b": 0})
    with pytest.raises(ValueError, match=r"none/a holds no images \(\.jpg"):
        data.imagefolder(tmp_path / "none")
    make(tmp_path / "deep" / "a", {"b": 2})
    make(tmp_path / "deep" / "c", {"d": 2})
    with pytest.raises(ValueError, match=r"deep/a/b holds images, but lies in the folder of a class"):
        data.imagefolder(tmp_path / "deep")
    make(tmp_path / "partly", {"a": 2, "b": 2, "b/more": 1})
    with pytest.raises(ValueError, match=r"partly/b/more holds images, but lies in the folder of a class"):
        data.imagefolder(tmp_path / "partly")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"test": 0}, ValueError, r"test must be a number in \(0, 1\), got 0"),
        ({"test": 1.0}, ValueError, r"test must be a number in \(0, 1\)"),
        ({"test": "a"}, TypeError, r"test must be a number in \(0, 1\)"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"channels": 2}, ValueError, "channels must be 1 for grey, 3 for colours, or None for what .* not 2"),
        ({"channels": True}, TypeError, "channels must be an int, not True"),
        ({"augment": "mirror"}, ValueError, "augment must be one of 'auto', 'shift', .* not 'mirror'"),
        ({"augment": True}, ValueError, "augment must be one of 'auto', 'shift', .* not True"),
    ],
)
def test_faulty_choices_are_refused_by_name(
    tmp_path: Path, options: dict[str, object], error: type[Exception], message: str
) -> None:
    make(tmp_path, {"a": 2, "b": 2})
    with pytest.raises(error, match=message):
        data.imagefolder(tmp_path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", [GREY, COLOURS])
@pytest.mark.parametrize("size", [(28, 28), (64, 64), (40, 30), (1, 1)])
def test_small_images_are_kept_and_standardised_by_those_to_train_on(
    tmp_path: Path, size: tuple[int, int], mode: str
) -> None:
    make(tmp_path / "train", {"a": 5, "b": 4}, size, mode)
    make(tmp_path / "val", {"a": 2, "b": 1}, size, mode, seed=1)
    train, test = data.imagefolder(tmp_path, augment=None)
    raw = read(tmp_path / "train", files_of({"a": 5, "b": 4})).astype(np.float64)
    mean, deviation = (getattr(raw, what)(axis=(0, 2, 3), keepdims=True)[0] for what in ("mean", "std"))
    inputs, labels = next(iter(data.Loader(train)))
    assert inputs.dtype == np.float32
    assert train.shape == (3 if mode == COLOURS else 1, size[1], size[0])
    assert train.pixels.flags.c_contiguous  # batches are taken from it much faster
    np.testing.assert_allclose(inputs, (raw - mean) / deviation, atol=1e-5)
    np.testing.assert_array_equal(labels, [0] * 5 + [1] * 4)
    tested = read(tmp_path / "val", files_of({"a": 2, "b": 1}))
    np.testing.assert_allclose(test.inputs, (tested - mean) / deviation, atol=1e-4)
    np.testing.assert_array_equal(train.take(np.array([3, 0]), (0,))[0], train.inputs[[3, 0]])


@pytest.mark.parametrize("mode", [GREY, COLOURS])
def test_channels_of_one_value_give_no_nan(tmp_path: Path, mode: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.new(mode, (8, 8), 7 if mode == GREY else (7, 20 * number, 0)).save(tmp_path / name / f"{number}.png")
    for part in data.imagefolder(tmp_path, augment=None):
        assert np.isfinite(part.inputs).all()
        assert (part.inputs[:, 0] == 0).all()


def test_a_size_resizes_small_images_as_a_whole(tmp_path: Path) -> None:
    make(tmp_path, {"a": 2, "b": 2}, (28, 20))
    train, _ = data.imagefolder(tmp_path, 32)
    assert train.shape == (1, 32, 32)
    assert "at 32×32, resized from 20×28, grey" in train.name
    members = sorted(tmp_path.rglob("*.png"))
    resized = {Image.open(path).resize((32, 32), Image.Resampling.BILINEAR).tobytes() for path in members}
    assert {image.tobytes() for image in train.pixels} <= resized
    assert isinstance(data.imagefolder(tmp_path, 64)[0], data.HeldImages)


@pytest.mark.parametrize(
    ("options", "shape"), [({"size": 65}, (1, 65, 65)), ({"size": 224, "channels": 3}, (3, 224, 224))]
)
def test_small_images_that_are_to_be_large_are_read_from_their_files(
    tmp_path: Path, options: dict[str, object], shape: tuple[int, ...]
) -> None:
    make(tmp_path, {"a": 2, "b": 2}, (28, 20))
    train, test = data.imagefolder(tmp_path, **options)  # type: ignore[arg-type]
    for part in (train, test):
        assert isinstance(part, data.ImageFolder)
        assert part.shape == shape
        assert next(iter(data.Loader(part)))[0].shape[1:] == shape


@pytest.mark.parametrize("mode", [GREY, COLOURS])
@pytest.mark.parametrize("augment", ["crop", "crop-mirror"])
def test_random_parts_of_small_images_keep_their_shape(tmp_path: Path, augment: str, mode: str) -> None:
    make(tmp_path, {"a": 6, "b": 6}, (28, 20), mode)
    train, test = data.imagefolder(tmp_path, augment=augment)
    assert isinstance(train, data.HeldImages)
    inputs, _ = train.take(np.arange(10), (3, 1))
    mean, deviation = train.scale
    rng = np.random.default_rng((3, 1, 1))
    for file, ours in zip(train.pixels, inputs, strict=True):
        image = Image.fromarray(file[0] if mode == GREY else file.transpose(1, 2, 0))
        left, top, right, bottom = pictures.random_box(28, 20, rng)
        part = np.asarray(image.resize((28, 20), Image.Resampling.BILINEAR, box=(left, top, right, bottom)))
        wanted = part.reshape(20, 28, -1)[:, :: -1 if augment == "crop-mirror" and rng.random() < 0.5 else 1]
        np.testing.assert_array_equal(ours, (wanted.transpose(2, 0, 1).astype(np.float32) - mean) / deviation)
    np.testing.assert_array_equal(test.take(np.arange(2), (0,))[0], test.inputs)


@pytest.mark.parametrize("sizes", [((65, 28), (65, 28)), ((28, 28), (28, 27)), ((100, 80), (30, 30))])
def test_images_that_are_large_or_of_several_sizes_are_read_from_their_files(
    tmp_path: Path, sizes: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    for name, size in zip("ab", sizes, strict=True):
        make(tmp_path, {name: 3}, size)
    train, test = data.imagefolder(tmp_path)
    assert isinstance(train, data.ImageFolder)
    assert train.shape == test.shape == (1, 224, 224)
    assert (train.augment, test.augment) == ("crop", "none")


def test_one_image_in_colours_anywhere_makes_all_of_them_colours(tmp_path: Path) -> None:
    make(tmp_path / "train", {"a": 2, "b": 2})
    make(tmp_path / "val", {"a": 2, "b": 2})
    assert data.imagefolder(tmp_path)[0].shape == (1, 28, 28)
    path = tmp_path / "val" / "b" / "1.png"
    for mode, channels in (("1", 1), ("LA", 1), ("P", 3), ("RGBA", 3), ("RGB", 3)):
        Image.new(mode, (28, 28)).save(path)
        train, test = data.imagefolder(tmp_path)
        assert train.shape == test.shape == (channels, 28, 28), mode
        assert ("grey" in train.name) == (channels == 1)
    grey, _ = data.imagefolder(tmp_path, channels=1)
    np.testing.assert_array_equal(grey.pixels, read(tmp_path / "train", files_of({"a": 2, "b": 2})))
    coloured, _ = data.imagefolder(tmp_path, channels=3)
    np.testing.assert_array_equal(coloured.pixels, np.repeat(grey.pixels, 3, axis=1))


def test_no_more_files_are_opened_than_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []
    opened = pictures.opened

    def watched(path: Path) -> Any:
        seen.append(path)
        return opened(path)

    for module in (pictures, held_images):
        monkeypatch.setattr(module, "opened", watched)
    make(tmp_path, {"a": 5, "b": 5}, (80, 80), COLOURS)
    data.imagefolder(tmp_path)
    assert len(seen) <= 2
    make(tmp_path, {"a": 5}, (80, 80), GREY)  # those come first
    seen.clear()
    data.imagefolder(tmp_path)
    assert len(seen) <= 6
    seen.clear()
    data.imagefolder(tmp_path, size=100, channels=1)
    assert not seen


def test_large_grey_images_are_standardised_by_the_mean_of_imagenets_colours(tmp_path: Path) -> None:
    make(tmp_path, {"a": 2, "b": 2}, (80, 80))
    grey, coloured = (data.imagefolder(tmp_path, 40, channels=channels, augment=None)[0] for channels in (None, 3))
    one, three = (part.take(np.arange(2), (0,))[0] for part in (grey, coloured))
    assert (one.shape, three.shape) == ((2, 1, 40, 40), (2, 3, 40, 40))
    brightness = three * DEVIATION + MEAN
    np.testing.assert_allclose(one * DEVIATION.mean() + MEAN.mean(), brightness[:, :1], atol=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (80, 80)])
@pytest.mark.parametrize("augment", ["shift", "shift-mirror"])
def test_shifts_are_those_of_cifar(tmp_path: Path, size: tuple[int, int], augment: str) -> None:
    make(tmp_path, {"a": 20, "b": 20}, size, COLOURS)
    train, test = data.imagefolder(tmp_path, 32, augment=augment)
    plain, _ = data.imagefolder(tmp_path, 32, augment=None)
    members = np.arange(len(train))
    inputs, still = train.take(members, (3, 1)), plain.take(members, (3, 1))
    rng = np.random.default_rng((3, 1, 1))
    crop, flip = data.RandomCrop(32, padding=4), data.RandomHorizontalFlip()
    wanted = crop(still[0], rng)
    np.testing.assert_array_equal(inputs[0], flip(wanted, rng) if augment == "shift-mirror" else wanted)
    np.testing.assert_array_equal(inputs[1], still[1])
    assert not np.array_equal(train.take(members, (3, 2))[0], inputs[0])
    np.testing.assert_array_equal(test.take(np.arange(8), (0,))[0], test.take(np.arange(8), (1,))[0])


@pytest.mark.parametrize("augment", ["shift", "crop", "none"])
@pytest.mark.parametrize("size", [(32, 32), (80, 80)])
def test_what_is_not_called_mirrored_never_is(tmp_path: Path, size: tuple[int, int], augment: str) -> None:
    ramp = np.tile(np.linspace(0, 250, size[0]).astype(np.uint8), (size[1], 1))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(20):
            Image.fromarray(ramp).save(tmp_path / name / f"{number}.png")
    mirrored = {"shift": "shift-mirror", "crop": "crop-mirror"}.get(augment)
    for choice, turned in ((augment, False), *([(mirrored, True)] if mirrored else [])):
        train, _ = data.imagefolder(tmp_path, 32, augment=choice)
        inputs, _ = train.take(np.arange(len(train)), (0,))
        falls = inputs[:, 0, 8:-8, 20].mean(axis=1) < inputs[:, 0, 8:-8, 10].mean(axis=1)
        assert falls.any() == turned
        assert not falls.all()


@pytest.mark.parametrize(
    ("mode", "size", "wanted"),
    [
        (GREY, (28, 28), "shift"),
        (COLOURS, (28, 28), "shift-mirror"),
        (GREY, (80, 80), "crop"),
        (COLOURS, (80, 80), "crop-mirror"),
    ],
)
def test_what_is_done_at_random_unless_told_otherwise(
    tmp_path: Path, mode: str, size: tuple[int, int], wanted: str
) -> None:
    make(tmp_path, {"a": 3, "b": 3}, size, mode)
    train, test = data.imagefolder(tmp_path, 32)
    chosen, _ = data.imagefolder(tmp_path, 32, augment=wanted)
    np.testing.assert_array_equal(*(part.take(np.arange(4), (5, 2))[0] for part in (train, chosen)))
    assert train.name == test.name == chosen.name


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 8), (3, 40, 30), (1, 1, 1)])
def test_shifts_are_by_an_eighth_of_the_shorter_side_and_keep_the_shape(shape: tuple[int, ...]) -> None:
    batch = np.ones((200, *shape), np.float32)
    shift = shifted("shift-mirror", shape)
    assert shift is not None
    result = shift(batch, np.random.default_rng(0))
    assert result.shape == batch.shape
    lost = [int((result[:, 0] == 0).all(axis=axis).sum(axis=1).max()) for axis in (1, 2)]
    assert lost == [max(min(shape[1:]) // 8, 1)] * 2


def test_the_name_tells_apart_all_that_a_training_depends_on(tmp_path: Path) -> None:
    root = make(tmp_path / "own", {"a": 4, "b": 4}, (28, 28), COLOURS)
    make(tmp_path / "split" / "own" / "train", {"a": 4, "b": 4}, (28, 28), COLOURS)
    make(tmp_path / "split" / "own" / "val", {"a": 4, "b": 4}, (28, 28), COLOURS)
    choices: list[dict[str, object]] = [{}, {"size": 32}, {"size": 224}, {"channels": 1}, {"test": 0.5}, {"seed": 1}]
    choices += [{"augment": name} for name in ("shift", "crop", "crop-mirror", "none")]
    names = [data.imagefolder(root, **choice)[0].name for choice in choices]  # type: ignore[arg-type]
    names.append(data.imagefolder(tmp_path / "split" / "own")[0].name)
    make(tmp_path / "own", {"a": 4, "b": 4}, (32, 32), COLOURS)
    names.append(data.imagefolder(root, size=32)[0].name)
    assert len(set(names)) == len(names)
    # not what those are called that are read from files and standardised as ImageNet's
    assert data.imagefolder(tmp_path / "split" / "own", augment="crop-mirror")[0].name.endswith("28×28, crop-mirror")


@given(count=st.integers(0, 12), n=st.integers(-1, 13))
def test_a_subset_of_held_images_is_spread_over_the_classes(count: int, n: int) -> None:
    labels = np.arange(count) * 3 // max(count, 1)
    images = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    scale = (np.zeros((1, 1, 1), np.float32), np.ones((1, 1, 1), np.float32))
    whole = data.HeldImages(images, labels, ("a", "b", "c"), scale, "none", "some")
    if not 0 <= n <= count:
        with pytest.raises(ValueError, match=f"at (least 0|most {count}), not {n}"):
            whole.subset(n)
        return
    few = whole.subset(n)
    taken = few.pixels.ravel().tolist()
    assert len(set(taken)) == len(few) == n
    np.testing.assert_array_equal(few.labels, labels[taken])
    assert np.ptp(np.diff(taken)) <= 1 if n > 2 else True


@given(
    shape=st.tuples(st.integers(1, 5), st.sampled_from([1, 3]), st.integers(1, 6), st.integers(1, 6)),
    seed=st.integers(0, 99),
)
def test_the_scale_is_the_mean_and_the_deviation_of_each_channel(shape: tuple[int, ...], seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    mean, deviation = held_images.scale_of(images)
    np.testing.assert_allclose(mean.ravel(), images.mean(axis=(0, 2, 3)), rtol=1e-6, atol=1e-5)
    wanted = images.std(axis=(0, 2, 3))
    np.testing.assert_allclose(deviation.ravel(), np.where(wanted > 0, wanted, 255), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("content", [b"", b"no image", "cut"])
def test_a_damaged_small_image_is_named(tmp_path: Path, content: bytes | str) -> None:
    make(tmp_path, {"a": 3, "b": 3})
    path = tmp_path / "b" / "1.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=r"cannot be read as an image .*: put a sound copy in its place") as caught:
        data.imagefolder(tmp_path)
    assert str(path) in str(caught.value)


def test_more_images_than_the_memory_holds_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, {"a": 3, "b": 3})
    monkeypatch.setattr("minadder.checks.memory", lambda: 1000)
    with pytest.raises(MemoryError, match=r"the array of all images of shape \(6, 1, 28, 28\) would take 4,704 bytes"):
        data.imagefolder(tmp_path)


def test_held_images_are_trained_and_evaluated(tmp_path: Path) -> None:
    import minadder as ma
    from minadder import models, optim

    for label, name in enumerate(("dark", "light")):
        (tmp_path / name).mkdir()
        for number in range(20):
            Image.new(GREY, (32, 32), 200 * label + number).save(tmp_path / name / f"{number}.png")
    train, test = data.imagefolder(tmp_path)
    ma.manual_seed(0)
    net = models.mlp((1024, 8, 2), "conv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ma.fit(net, data.Loader(train, 8, shuffle=True), test, epochs=5, optimizer=optim.SGD(net.parameters(), lr=0.01))
    assert ma.evaluate(net.eval(), test)[1] == 1
