"""IDX files: what was written is read back; whatever else lies in the file is refused, and costs no memory."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from minadder.data.idx import idx_digest, read_idx, write_idx

Bytes = NDArray[np.uint8]
ARRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5))
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A path that the examples of a property write over."""
    return tmp_path_factory.mktemp("idx") / "some-idx-ubyte"


def idx_bytes(array: Bytes) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def packed(content: bytes, gz: bool) -> bytes:
    return gzip.compress(content, mtime=0) if gz else content


def assert_refused(file: Path, content: bytes, ndim: int, fault: str | None = None) -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match=fault) as caught:
        read_idx(file, expected_ndim=ndim)
    assert str(caught.value).startswith(str(file))


@settings(deadline=None)
@given(array=ARRAYS, gz=st.booleans())
def test_arrays_come_back_as_they_were(file: Path, array: Bytes, gz: bool) -> None:
    file.write_bytes(packed(idx_bytes(array), gz))
    result = read_idx(file, expected_ndim=array.ndim)
    assert result.dtype == np.uint8
    assert result.flags.writeable
    np.testing.assert_array_equal(result, array)


@settings(deadline=None)
@given(array=ARRAYS, transpose=st.booleans())
def test_written_files_hold_what_the_format_says(file: Path, array: Bytes, transpose: bool) -> None:
    array = array.T if transpose else array
    write_idx(file, array)
    assert file.read_bytes() == idx_bytes(array)
    assert idx_digest(array) == hashlib.sha256(idx_bytes(array)).hexdigest()
    assert list(file.parent.iterdir()) == [file], "a temporary file was left behind"


@settings(deadline=None)
@given(array=ARRAYS, gz=st.booleans(), data=st.data())
def test_a_file_cut_anywhere_is_refused(file: Path, array: Bytes, gz: bool, data: st.DataObject) -> None:
    content = packed(idx_bytes(array), gz)
    cut = data.draw(st.integers(0, len(content) - 1), label="cut")
    assert_refused(file, content[:cut], array.ndim)


@settings(deadline=None)
@given(array=ARRAYS, data=st.data())
def test_a_cut_before_compression_is_refused(file: Path, array: Bytes, data: st.DataObject) -> None:
    content = idx_bytes(array)
    cut = data.draw(st.integers(0, len(content) - 1), label="cut")
    assert_refused(file, packed(content[:cut], gz=True), array.ndim)


@settings(deadline=None)
@given(array=ARRAYS, gz=st.booleans(), data=st.data())
def test_any_changed_header_byte_is_refused(file: Path, array: Bytes, gz: bool, data: st.DataObject) -> None:
    content = bytearray(idx_bytes(array))
    position = data.draw(st.integers(0, 3 + 4 * array.ndim), label="position")
    content[position] ^= data.draw(st.integers(1, 255), label="flip")
    assert_refused(file, packed(bytes(content), gz), array.ndim)


@settings(deadline=None)
@given(array=ARRAYS, garbage=st.binary(min_size=1, max_size=20), gz=st.booleans())
def test_trailing_bytes_are_refused(file: Path, array: Bytes, garbage: bytes, gz: bool) -> None:
    assert_refused(file, packed(idx_bytes(array) + garbage, gz), array.ndim, "trailing bytes")


@settings(deadline=None)
@given(array=ARRAYS, garbage=st.binary(min_size=1, max_size=20))
def test_bytes_after_the_gzip_data_are_refused(file: Path, array: Bytes, garbage: bytes) -> None:
    # Not 0: zeros after gzip data are padding that every gzip reader skips.
    assert_refused(file, packed(idx_bytes(array), gz=True) + b"\x01" + garbage, array.ndim)


@settings(deadline=None)
@given(array=ARRAYS, data=st.data())
def test_a_changed_byte_of_gzip_data_never_gives_other_values(file: Path, array: Bytes, data: st.DataObject) -> None:
    content = bytearray(packed(idx_bytes(array), gz=True))
    position = data.draw(st.integers(0, len(content) - 1), label="position")
    content[position] ^= data.draw(st.integers(1, 255), label="flip")
    file.write_bytes(content)
    try:
        result = read_idx(file, expected_ndim=array.ndim)
    except ValueError as error:
        refusal = str(error)
    else:  # the time stamp and the like do not matter
        np.testing.assert_array_equal(result, array)
        return
    assert refusal.startswith(str(file))


@settings(deadline=None)
@given(shape=st.lists(st.integers(2**10, 2**32 - 1), min_size=2, max_size=4), gz=st.booleans())
def test_an_oversized_header_takes_no_memory(file: Path, shape: list[int], gz: bool) -> None:
    content = struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape) + bytes(100)
    file.write_bytes(packed(content, gz))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="can hold no more than"):
            read_idx(file, expected_ndim=len(shape))
        assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    finally:
        tracemalloc.stop()


def peak_of_refusal(file: Path, content: bytes, fault: str) -> int:
    file.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=fault):
            read_idx(file, expected_ndim=1)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_promise_that_compression_could_keep_takes_only_what_arrives(file: Path) -> None:
    noise = np.random.default_rng(0).bytes(100_000)
    content = gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 100_000_000) + noise)
    assert peak_of_refusal(file, content, "truncated.*found 100000") < 4 * MEGABYTE


def test_a_gzip_bomb_is_not_unpacked(file: Path) -> None:
    content = gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 10) + bytes(50 * MEGABYTE))
    assert peak_of_refusal(file, content, "trailing bytes") < 4 * MEGABYTE


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "not an IDX file: it begins with b''"),
        (b"<!DOCTYPE html>", "not an IDX file: it begins with b'<!DO'"),
        (b"\0\0\x0d\1\0\0\0\1\0\0\0\0", "type code 13, expected 8"),
        (b"\0\0\x08\3" + b"\0\0\0\1" * 3 + b"\7", "3 dimensions, expected 1"),
        (b"\0\0\x08\1\0\0", "truncated: its header ends after 6 bytes"),
        (b"\0\0\x08\1\0\0\0\0", r"holds no values: its header states the shape \(0,\)"),
        (b"\x1f\x8b", "damaged gzip"),
    ],
)
def test_the_fault_is_named(file: Path, content: bytes, fault: str) -> None:
    assert_refused(file, content, 1, fault)


def test_a_damaged_checksum_is_named(file: Path) -> None:
    content = bytearray(packed(idx_bytes(np.arange(9, dtype=np.uint8)), gz=True))
    content[-8] ^= 1
    assert_refused(file, bytes(content), 1, "damaged gzip data: CRC check failed")


def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.*minadder\.data\.mnist\(\)"):
        read_idx(tmp_path / "nowhere", expected_ndim=1)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "labels"
    write_idx(target, np.arange(3, dtype=np.uint8))
    before = target.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_idx(target, np.arange(9, dtype=np.uint8))
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_only_bytes_are_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="uint8 values, got an array of int64"):
        write_idx(tmp_path / "labels", np.arange(3))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
