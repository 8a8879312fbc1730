"""Folders of images: what is found, how parts are cut out, that the same seed gives the same batches, and bad files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minadder import data
from minadder.data.imagefolder import DEVIATION, MEAN, RATIO, SCALE, SHORT_SIDE, centre_box, pixels, random_box

CLASSES = ("cat", "dog", "eel")
COLOURS = {"cat": (250, 10, 10), "dog": (10, 250, 10), "eel": (10, 10, 250)}
sides = st.integers(1, 3000)


def save(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (50, 40), seed: int = 0) -> None:
    """Write an image of a colour with some noise."""
    noise = np.random.default_rng(seed).integers(-10, 6, (size[1], size[0], 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.array(colour) + noise).astype(np.uint8)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of 4 + 2 images for each of three classes, of one colour each, of different sizes and formats."""
    folder = tmp_path / "pets"
    for part, count in (("train", 4), ("val", 2)):
        for name in CLASSES:
            for number in range(count):
                suffix = (".png", ".jpg", ".JPEG")[number % 3]
                save(folder / part / name / f"{number}{suffix}", COLOURS[name], (50 + number, 40), number)
    return folder


def test_classes_and_files_are_numbered_alphabetically(root: Path) -> None:
    train, test = data.imagefolder(root, size=16)
    for part, each in ((train, 4), (test, 2)):
        assert part.classes == CLASSES
        assert part.num_classes == 3
        assert part.shape == (3, 16, 16)
        assert len(part) == 3 * each
        np.testing.assert_array_equal(part.labels, np.repeat([0, 1, 2], each))
        assert list(part.files) == sorted(part.files)
        assert all(file.startswith(CLASSES[label]) for file, label in zip(part.files, part.labels, strict=True))
    assert repr(train) == "ImageFolder('imagefolder pets at 16×16', 12 images of shape (3, 16, 16), 3 classes)"


@pytest.mark.parametrize("part", [0, 1])
def test_batches_hold_the_images_of_their_labels(root: Path, part: int) -> None:
    loader = data.Loader(data.imagefolder(root, size=16)[part], batch_size=5, shuffle=True)
    for inputs, labels in loader:
        assert inputs.dtype == np.float32
        assert inputs.shape[1:] == (3, 16, 16)
        assert inputs.flags.c_contiguous
        brightest = (inputs * DEVIATION + MEAN).mean(axis=(2, 3)).argmax(axis=1)
        np.testing.assert_array_equal(brightest, labels)


def test_what_else_lies_there_is_passed_over(root: Path) -> None:
    before = [part.files for part in data.imagefolder(root)]
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    (root / "train" / "cat" / ".hidden.png").write_text("no image")
    (root / "train" / "README").write_text("no folder")
    (root / "train" / ".cache").mkdir()
    (root / "val" / ".cache").mkdir()
    (root / "train" / "cat" / "more.png").mkdir()
    assert [part.files for part in data.imagefolder(root)] == before


def test_the_same_seed_and_epoch_give_the_same_batches_and_others_do_not(root: Path) -> None:
    def epoch(seed: int, number: int) -> np.ndarray:
        loader = data.Loader(data.imagefolder(root, size=16)[0], batch_size=12, seed=seed)
        loader.set_epoch(number)
        return next(iter(loader))[0]

    np.testing.assert_array_equal(epoch(1, 3), epoch(1, 3))
    assert not np.array_equal(epoch(1, 3), epoch(1, 4))
    assert not np.array_equal(epoch(1, 3), epoch(2, 3))


def test_images_for_testing_are_always_the_same(root: Path) -> None:
    loader = data.Loader(data.imagefolder(root, size=16)[1], batch_size=6)
    first, second = next(iter(loader))[0], next(iter(loader))[0]
    np.testing.assert_array_equal(first, second)


@given(width=sides, height=sides, seed=st.integers(0, 1000))
def test_a_random_part_lies_inside_and_has_an_allowed_size_and_ratio(width: int, height: int, seed: int) -> None:
    left, top, right, bottom = random_box(width, height, np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    w, h = right - left, bottom - top
    whole = left == int(left) and top == int(top) and (w, h) != (width, height)
    if whole and min(w, h) >= 40:  # smaller ones are rounded coarsely
        assert RATIO[0] * 0.95 <= w / h <= RATIO[1] * 1.05
    if whole and min(w, h) >= 40:
        assert SCALE[0] * 0.95 <= w * h / (width * height) <= 1


def test_random_parts_are_of_all_sizes_and_places() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([random_box(400, 300, rng) for _ in range(2000)])
    left, top, right, bottom = boxes.T
    share = (right - left) * (bottom - top) / (400 * 300)
    assert share.min() < 0.1
    assert share.max() > 0.9
    # uniform in (0.08, 1), but that parts which do not fit are drawn again, which the largest seldom do
    assert 0.4 < np.median(share) < 0.54
    assert left.min() == top.min() == 0
    assert right.max() == 400
    assert bottom.max() == 300
    ratio = (right - left) / (bottom - top)
    assert np.log(ratio).mean() == pytest.approx(0.02, abs=0.03)


@pytest.mark.parametrize(("width", "height"), [(2000, 10), (10, 2000), (3, 1000)])
def test_of_images_that_are_too_long_the_middle_is_taken(width: int, height: int) -> None:
    left, top, right, bottom = random_box(width, height, np.random.default_rng(0))
    assert left + right == pytest.approx(width)
    assert top + bottom == pytest.approx(height)
    assert min(right - left, bottom - top) == min(width, height)
    assert RATIO[0] - 1e-9 <= (right - left) / (bottom - top) <= RATIO[1] + 1e-9


@given(width=sides, height=sides)
def test_the_centre_is_a_square_of_seven_eighths(width: int, height: int) -> None:
    left, top, right, bottom = centre_box(width, height)
    assert right - left == pytest.approx(bottom - top) == pytest.approx(min(width, height) / SHORT_SIDE)
    assert left + right == pytest.approx(width)
    assert top + bottom == pytest.approx(height)


def test_the_centre_is_what_resizing_and_cutting_gives() -> None:
    """Compare with the two steps of the papers, resize to 256 and cut out 224×224, on a smooth image."""
    y, x = np.mgrid[0:384, 0:512]
    image = Image.fromarray(np.stack([x / 2, y / 2, (x + y) / 4], axis=-1).astype(np.uint8))
    whole = image.resize((341, 256), Image.Resampling.BILINEAR)
    wanted = np.asarray(whole.crop((59, 16, 59 + 224, 16 + 224)), np.float32)
    ours = pixels(image, centre_box(*image.size), 224, False)
    np.testing.assert_allclose((ours * DEVIATION + MEAN).transpose(1, 2, 0) * 255, wanted, atol=2)


def test_mirroring_turns_left_and_right_around() -> None:
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    box = (0, 0, 4, 4)
    plain, mirrored = (pixels(image, box, 4, flip) for flip in (False, True))
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])
    np.testing.assert_allclose(plain[1, 0, 2], (7 / 255 - 0.456) / 0.224, rtol=1e-5)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK"])
def test_images_of_other_modes_become_colours(root: Path, mode: str) -> None:
    path = root / "val" / "cat" / ("0.jpg" if mode == "CMYK" else "0.png")
    path.unlink(missing_ok=True)
    Image.new(mode, (30, 30), 1).save(path)
    inputs, _ = next(iter(data.Loader(data.imagefolder(root, size=8)[1])))
    assert np.isfinite(inputs).all()


def test_images_of_more_than_8_bits_are_refused_not_cut_off(root: Path) -> None:
    path = root / "val" / "cat" / "0.png"
    Image.new("I;16", (30, 30), 300).save(path)
    with pytest.raises(ValueError, match=r"0\.png cannot be read .* its mode is I;16, and only images of 8 bits"):
        list(data.Loader(data.imagefolder(root, size=8)[1]))


@pytest.mark.parametrize("content", [b"", b"no image", "cut", "bits"])
@pytest.mark.parametrize("name", ["1.jpg", "0.png"])
def test_a_damaged_file_is_named_with_what_to_do(root: Path, content: bytes | str, name: str) -> None:
    path = root / "train" / "dog" / name
    whole = path.read_bytes()
    if content == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif content == "bits":
        path.write_bytes(bytes(8) + whole[8:])
    else:
        assert isinstance(content, bytes)
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be read as an image .*: put a sound copy in its place") as caught:
        list(data.Loader(data.imagefolder(root, size=16)[0]))
    assert str(path) in str(caught.value)


def test_folders_without_the_layout_are_named(root: Path, tmp_path: Path) -> None:
    layout = "expected at train/<class>/<name>.jpg"
    with pytest.raises(FileNotFoundError, match=f"{tmp_path / 'absent'} has no folder 'train'.*{layout}"):
        data.imagefolder(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=f"has no folder 'train'.*{layout}"):
        data.imagefolder(root / "train")
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=f"has no folder 'val'.*{layout}"):
        data.imagefolder(tmp_path / "empty")
    (tmp_path / "empty" / "val").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=f"holds no folders.*{layout}"):
        data.imagefolder(tmp_path / "empty")


def test_classes_without_images_are_named(root: Path) -> None:
    (root / "train" / "fox").mkdir()
    with pytest.raises(ValueError, match=r"train/fox holds no images \(\.jpg, "):
        data.imagefolder(root)
    save(root / "train" / "fox" / "1.png", (9, 9, 9))
    with pytest.raises(ValueError, match=r"val/fox holds no images"):
        data.imagefolder(root)


def test_classes_that_only_the_test_has_are_named(root: Path) -> None:
    save(root / "val" / "gnu" / "1.png", (9, 9, 9))
    with pytest.raises(ValueError, match=r"val holds classes that .*train does not: gnu"):
        data.imagefolder(root)


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (2.5, TypeError), (True, TypeError)])
def test_a_size_that_is_none_is_refused(root: Path, size: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="size must be"):
        data.imagefolder(root, size=size)  # type: ignore[arg-type]


@given(n=st.integers(-1, 14))
def test_a_subset_is_spread_over_the_files(n: int) -> None:
    labels = np.repeat([0, 1, 2], 4)
    files = tuple(f"{CLASSES[label]}/{number}.png" for number, label in enumerate(labels))
    whole = data.ImageFolder(Path("pets"), files, labels, CLASSES, 16, augment=False, name="pets")
    if not 0 <= n <= len(whole):
        with pytest.raises(ValueError, match=f"at (least 0|most 12), not {n}"):
            whole.subset(n)
        return
    few = whole.subset(n)
    assert len(few) == len(set(few.files)) == n
    assert [file.split("/")[0] for file in few.files] == [CLASSES[label] for label in few.labels]
    assert np.bincount(few.labels, minlength=3).max() <= -(-n // 3)
