"""Folders of images: what is found, how parts are cut out, that the same seed gives the same batches, and bad files."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from minadder import data
from minadder.data import pictures
from minadder.data.pictures import (
    DEVIATION,
    FORMATS,
    MEAN,
    RATIO,
    SCALE,
    SHORT_SIDE,
    centre_box,
    random_box,
    random_part,
    resized,
    standardised,
)

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
    ours = standardised(resized(image, 224, 224, centre_box(*image.size)))
    np.testing.assert_allclose((ours * DEVIATION + MEAN).transpose(1, 2, 0) * 255, wanted, atol=2)


def test_mirroring_turns_left_and_right_around() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8))
    turned = 0
    for seed in range(20):
        plain, maybe = (random_part(image, 8, 8, mirror, np.random.default_rng(seed)) for mirror in (False, True))
        turned += np.array_equal(maybe, plain[:, :, ::-1])
        assert np.array_equal(maybe, plain) or np.array_equal(maybe, plain[:, :, ::-1])
    assert 4 < turned < 16


def test_values_are_standardised_as_imagenets() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    np.testing.assert_allclose(standardised(pixels)[1, 0, 2], (18 / 255 - 0.456) / 0.224, rtol=1e-5)


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


def test_the_home_folder_may_be_written_by_its_sign(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    assert data.imagefolder("~/pets")[0].folder == root / "train"
    with pytest.raises(ValueError, match="nobody knows the home folder that ~nobody-of-this-name stands for"):
        data.imagefolder("~nobody-of-this-name/pets")
    for path, error in ((None, TypeError), (b"pets", TypeError), ("", ValueError), ("a\0b", ValueError)):
        with pytest.raises(error, match="path must"):
            data.imagefolder(path)  # type: ignore[arg-type]


def test_folders_without_the_layout_are_named(root: Path, tmp_path: Path) -> None:
    layout = "expected at train/<class>/<name>.jpg and .* or all of them at <class>/<name>.jpg"
    with pytest.raises(FileNotFoundError, match=f"there is no folder {tmp_path / 'absent'}: .*{layout}"):
        data.imagefolder(tmp_path / "absent")
    with pytest.raises(NotADirectoryError, match=f"0.png is a file, not a folder; unpack it, .*{layout}"):
        data.imagefolder(root / "train" / "cat" / "0.png")
    with pytest.raises(ValueError, match=f"cat holds images, but no folders, .*{layout}"):
        data.imagefolder(root / "train" / "cat")
    for part in ("train", "val"):
        (tmp_path / "empty" / part).mkdir(parents=True)
        with pytest.raises(FileNotFoundError, match=f"train holds no folders.*{layout}"):
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
    whole = data.ImageFolder(Path("pets"), files, labels, CLASSES, 16, augment="none", name="pets")
    if not 0 <= n <= len(whole):
        with pytest.raises(ValueError, match=f"at (least 0|most 12), not {n}"):
            whole.subset(n)
        return
    few = whole.subset(n)
    assert len(few) == len(set(few.files)) == n
    assert [file.split("/")[0] for file in few.files] == [CLASSES[label] for label in few.labels]
    assert np.bincount(few.labels, minlength=3).max() <= -(-n // 3)


def load_with(root: Path, name: str, content: bytes) -> None:
    """Read a folder with a file of such a content."""
    (root / "train" / "dog" / name).write_bytes(content)
    list(data.Loader(data.imagefolder(root, size=16)[0]))


def png(width: int, height: int, rows: int | None = None) -> bytes:
    """Return a PNG of one colour, 1 bit a pixel, or what is one but that it has fewer rows than it says."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer, row = zlib.compressobj(9), bytes(1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("sides", [(8192, 8193), (9300, 9300), (12_000, 12_000), (16_000, 17_000), (1 << 27, 1)])
def test_an_image_of_too_many_pixels_is_refused_before_they_are_unpacked(root: Path, sides: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"0\.png cannot be read as an image .*pixels") as caught:
        load_with(root, "0.png", png(*sides, rows=1))
    assert str(root) in str(caught.value)


def test_an_image_of_as_many_pixels_as_are_allowed_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_PIXELS", 100 * 90)
    load_with(root, "0.png", png(100, 90))
    with pytest.raises(ValueError, match="it has 100×91 pixels, and at most 9000 are read"):
        load_with(root, "0.png", png(100, 91))


@pytest.mark.parametrize("begin", [b"RIFF\xff\xff\xff\xffWEBPVP8X", b"\xff\xd8\xff\xe0", b"P6 4 4 255\n", b""])
def test_a_huge_file_is_refused_before_it_is_read(root: Path, begin: bytes) -> None:
    path = root / "train" / "dog" / "0.png"
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(1 << 36)
    with pytest.raises(ValueError, match=rf"it has {1 << 36} bytes, and at most \d+ are read"):
        list(data.Loader(data.imagefolder(root, size=16)[0]))


EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 20 20
%%EndComments
0 0 20 20 rectfill
showpage
"""


@pytest.mark.parametrize("name", ["0.jpg", "0.png", "0.ppm"])
def test_no_other_program_is_started_for_what_lies_in_a_file(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "bin").mkdir()
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    with pytest.raises(ValueError, match="cannot be read as an image"):
        load_with(root, name, EPS)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "ICO", "PCX", "TGA", "SGI"])
def test_formats_that_are_not_meant_are_not_decoded(root: Path, kind: str) -> None:
    content = io.BytesIO()
    Image.new("RGB", (16, 16), (1, 2, 3)).save(content, kind)
    with pytest.raises(ValueError, match="it is damaged at its beginning, or none of JPEG, PNG, BMP, WEBP, PPM"):
        load_with(root, "0.png", content.getvalue())


@pytest.mark.parametrize("kind", FORMATS)
def test_formats_that_are_meant_are_decoded_whatever_the_name_says(root: Path, kind: str) -> None:
    content = io.BytesIO()
    Image.new("RGB", (16, 16), (1, 2, 3)).save(content, kind)
    load_with(root, "0.jpg", content.getvalue())


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_changed_bytes_give_an_image_or_a_named_error(tmp_path: Path, drawn: st.DataObject) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8))
    stream = io.BytesIO()
    image.save(stream, drawn.draw(st.sampled_from(FORMATS)))
    content = bytearray(stream.getvalue())
    for _ in range(drawn.draw(st.integers(1, 4))):
        at = drawn.draw(st.integers(0, len(content) - 1))
        content[at : at + drawn.draw(st.integers(0, 4))] = drawn.draw(st.binary(max_size=4))
    path = tmp_path / "0.png"
    path.write_bytes(content)
    folder = data.ImageFolder(tmp_path, ("0.png",), np.zeros(1, np.int64), ("a",), 8, augment="none", name="changed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn of some faults
            inputs, _ = folder.take(np.zeros(1, np.int64), (0,))
    except ValueError as error:
        message = str(error)
        assert str(path) in message
    else:
        assert np.isfinite(inputs).all()


STRANGE = ["a\nb", "red \x1b[31m", "50 % {0} {x}", "$x_1$", "\udcff\udcfe", "猫", "-rf *", "A", "a", "'", "x" * 200]


def test_names_of_any_kind_are_classes_and_files(tmp_path: Path) -> None:
    root = tmp_path / "pets \udcff\n"
    for name in STRANGE:
        for part in ("train", "val"):
            save(root / part / name / f"{name}.png", (9, 99, 199))
    train, test = data.imagefolder(root, size=8)
    assert train.classes == tuple(sorted(STRANGE))
    assert test.classes == train.classes
    assert len(next(iter(data.Loader(train)))[1]) == len(STRANGE)
    for text in (train.name, repr(train), repr(data.Loader(train))):
        assert text.isprintable()
        text.encode()
    assert "pets \\udcff\\n" in train.name


@pytest.mark.parametrize("name", STRANGE[:5])
def test_messages_show_names_that_a_terminal_cannot_obey(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    save(root / "train" / "a" / "1.png", (9, 9, 9))
    save(root / "val" / "a" / "1.png", (9, 9, 9))
    for part in ("train", "val"):
        save(root / part / "b" / "1.png", (9, 9, 9))
    messages = []
    (root / "train" / "a" / f"{name}.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="cannot be read as an image") as caught:
        list(data.Loader(data.imagefolder(root, size=8)[0]))
    messages.append(str(caught.value))
    (root / "val" / name).mkdir()
    with pytest.raises(ValueError, match="holds classes that") as caught:
        data.imagefolder(root, size=8)
    messages.append(str(caught.value))
    (root / "train" / name).mkdir()
    with pytest.raises(ValueError, match="holds no images") as caught:
        data.imagefolder(root, size=8)
    messages.append(str(caught.value))
    with pytest.raises(FileNotFoundError, match="there is no folder") as missing:
        data.imagefolder(root / "no" / name)
    for message in (*messages, str(missing.value)):
        assert message.isprintable()


@pytest.mark.parametrize("target", ["nowhere", "round.png", "/nowhere/at/all"])
@pytest.mark.parametrize("place", ["train/cat/round.png", "val/eel/round.png", "train/fox", "val/fox"])
def test_links_that_lead_to_nothing_are_named(root: Path, place: str, target: str) -> None:
    (root / place).symlink_to(root / place if target == "round.png" else target)
    with pytest.raises(ValueError, match=f"{place} is a link that leads to nothing"):
        data.imagefolder(root)


def test_links_are_followed(root: Path) -> None:
    before = len(data.imagefolder(root)[0])
    (root / "train" / "cat" / "notes").symlink_to("nowhere")
    (root / "train" / "cat" / "again.png").symlink_to("0.png")
    (root / "train" / "cat" / "round").symlink_to(root / "train")
    (root / "train" / "fox").symlink_to("dog")
    (root / "val" / "fox").symlink_to("dog")
    assert len(data.imagefolder(root)[0]) == before + 1 + 4


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_called_as_an_image_and_is_no_file_is_named(root: Path, kind: str) -> None:
    path = root / "val" / "cat" / "more.JPG"
    if kind == "device":
        path.symlink_to(os.devnull)
    else:
        {"pipe": os.mkfifo, "folder": os.mkdir}[kind](path)
    with pytest.raises(OSError, match=r"it is a .*, not a.* file: '.*val/cat/more\.JPG'"):
        data.imagefolder(root)


@pytest.mark.parametrize("change", ["gone", "pipe", "folder", "empty"])
def test_a_folder_that_changes_after_it_was_listed_is_named(root: Path, change: str) -> None:
    loader = data.Loader(data.imagefolder(root, size=8)[0])
    path = root / "train" / "cat" / "0.png"
    path.unlink()
    if change != "gone":
        {"pipe": os.mkfifo, "folder": os.mkdir, "empty": Path.touch}[change](path)
    with pytest.raises(ValueError, match=r"0\.png cannot be read as an image") as caught:
        list(loader)
    assert str(path) in str(caught.value)
