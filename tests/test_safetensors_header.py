"""Headers of safetensors files: judged before anything is read, and whatever lies there gives one error with a name."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

import minadder as ma
from minadder import checkpoint, nn
from minadder.safetensors_header import parse

MEGABYTE = 1 << 20
HUGE = 1 << 36


def claim(shape: Any = (1,), offsets: Any = (0, 4), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def file_bytes(header: Any, content: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


def sparse(path: Path, content: bytes, size: int) -> Path:
    """Write a file that has a size and takes no room."""
    with path.open("wb") as file:
        file.write(content)
        file.truncate(size)
    return path


@contextlib.contextmanager
def little_memory(most: int = 2 * MEGABYTE) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "header",
    [
        claim,  # what it lists ends long before the file
        lambda: claim([HUGE // 4], [0, HUGE]),  # it fits, but no network is so large
    ],
)
def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path, header: Any) -> None:
    content = file_bytes({"weight": header()})
    path = sparse(tmp_path / "huge.safetensors", content, len(content) + HUGE)
    net = nn.Linear(1, 1)
    for read in (checkpoint.read_arrays, checkpoint.read_training, lambda path: ma.load(net, path)):
        with little_memory(), pytest.raises(ValueError, match=r"huge\.safetensors: .*(end after|at most are expected)"):
            read(path)


def test_a_file_far_larger_than_the_network_is_of_another(tmp_path: Path) -> None:
    content = file_bytes({"weight": claim([1 << 26], [0, 1 << 28])})
    path = sparse(tmp_path / "net.safetensors", content, len(content) + (1 << 28))
    with little_memory(), pytest.raises(ValueError, match="is it of another network"):
        ma.load(nn.Linear(1, 1), path)


@pytest.mark.parametrize("length", [0, 2**20, 99_000_000, 2**36 - 8, 2**63, 2**64 - 1])
def test_a_huge_file_of_zeros_is_refused(tmp_path: Path, length: int) -> None:
    path = sparse(tmp_path / "zeros", length.to_bytes(8, "little"), HUGE)
    with little_memory(1 << 29), pytest.raises(ValueError, match=r"zeros: the header (is not JSON|claims)"):
        checkpoint.read_arrays(path)


TWICE = b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": {}}'
SPACES = b" " * 100


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 4]}}', "not JSON"),
        (b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, ' + b"9" * 5000 + b"]}}", "not JSON"),
        (b'{"a":' * 100_000, "not JSON .*too many brackets"),
        (b"[" * 100_000, "not JSON .*too many brackets"),
        (TWICE, "'a' is there more than once"),
        (b'{"__metadata__": {"a": "1", "a": "2"}}', "'a' is there more than once"),
        (b"", "not JSON"),
        (SPACES, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"a": NaN}', "does not say where 'a' lies"),
        ([], "not one of a safetensors file"),
        (3, "not one of a safetensors file"),
        ({"__metadata__": None}, "metadata"),
        ({"__metadata__": {"a": 1}}, "metadata"),
        ({"a": None}, "where 'a' lies"),
        ({"a": {}}, "where 'a' lies"),
        ({"a": claim(offsets=4)}, "where 'a' lies"),
        ({"a": claim(offsets=[0, 2, 4])}, "where 'a' lies"),
        ({"a": claim(offsets=[-4, 4])}, "'a' lies where nothing lies"),
        ({"a": claim(offsets=[0, 8])}, "'a' lies where nothing lies"),
        ({"a": claim(offsets=[0, 4.0])}, "'a' lies where nothing lies"),
        ({"a": claim(offsets=[False, 4])}, "'a' lies where nothing lies"),
        ({"a": claim(offsets=[0, 2**200])}, "'a' lies where nothing lies"),
        ({}, "end after 0 bytes, those of the file after 4"),
        ({"a": claim(offsets=[0, 3])}, "end after 3 bytes, those of the file after 4"),
        ({"a": claim(), "b": claim()}, "not a whole safetensors file"),
        ({"a": claim(offsets=[4, 0]), "b": claim()}, "not a whole safetensors file"),
        ({"a": claim(offsets=[2, 4])}, "not a whole safetensors file"),
        ({"a": claim([2**62, 4])}, "not a whole safetensors file"),
        ({"a": claim([2**64 + 1])}, "not a whole safetensors file"),
        ({"a": claim([0, 2**62], [0, 0]), "b": claim()}, "not a whole safetensors file"),
        ({"a": claim([1] * 100)}, "not a whole safetensors file"),
        ({"a": claim([-1])}, "not a whole safetensors file"),
        ({"a": claim([1.0])}, "not a whole safetensors file"),
        ({"a": claim("1")}, "not a whole safetensors file"),
        ({"a": claim(dtype="F33")}, "not a whole safetensors file"),
        ({"a": claim(dtype=["F32"])}, "not a whole safetensors file"),
        ({"a": claim(dtype="BF16", shape=[2])}, "NumPy has no dtype BF16"),
        ({"a\x1b[31m\n": claim([2])}, "not a whole safetensors file"),
    ],
)
def test_headers_that_cannot_be_are_named(tmp_path: Path, header: Any, fault: str) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(file_bytes(header, bytes(4)))
    with pytest.raises(ValueError, match=rf"^[^\n]*file\.safetensors: .*{fault}") as caught:
        checkpoint.read_arrays(path)
    assert str(caught.value).isprintable()


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(file_bytes({"b": claim([0], [0, 0]), "a": claim(), "__metadata__": {"by": "hand"}}, bytes(4)))
    arrays, state = checkpoint.read_arrays(path)
    assert {name: array.shape for name, array in arrays.items()} == {"a": (1,), "b": (0,)}
    assert state is None


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "[]",
        "3",
        '"text"',
        "{}",
        '{"sha256": "x"}',
        '{"state": 1}',
        "[" * 100_000,
        '{"sha256": 1, "state": {"a": 1, "a": 1}}',
        '{"sha256": "x", "state": ' + "9" * 5000 + "}",
        '{"sha256": "\\u001b[31m\\n", "state": null}',
        '{"sha256": null, "state": NaN}',
        '{"sha256": ["x"], "state": "\\ud800"}',
    ],
)
def test_metadata_that_cannot_be_are_named(tmp_path: Path, metadata: str) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(save({"a": np.zeros(1)}, {checkpoint.KEY: metadata}))
    with pytest.raises(
        ValueError, match=r"file\.safetensors: (its metadata cannot be read|the content does not)"
    ) as got:
        checkpoint.read_arrays(path)
    assert str(got.value).isprintable()


@settings(deadline=None, max_examples=400)
@given(data=st.data())
def test_changed_bytes_give_named_errors_alone(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """In files by other programs, which have no digest, also other values; in ours these are refused."""
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    content = bytearray(save({"weight": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32)}))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        piece = data.draw(st.one_of(st.binary(max_size=3), st.sampled_from([b"9" * 5000, b"[" * 3000, b"-", b'"'])))
        content[at : at + data.draw(st.integers(0, 3))] = piece
    if data.draw(st.booleans()):  # so that what follows is read at all
        length = content.rfind(b"}") + 1 - 8
        content[:8] = max(length, 0).to_bytes(8, "little")
    path.write_bytes(content)
    net = nn.Linear(2, 2)
    before = net.state_dict()
    try:
        ma.load(net, path)
    except ValueError as error:
        message = str(error)
        assert str(path) in message
        for name, array in net.state_dict().items():
            np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    "read", [checkpoint.read_arrays, checkpoint.read_training, lambda p: ma.load(nn.Linear(1, 1), p)]
)
def test_what_is_no_file_is_named_as_what_it_is(tmp_path: Path, read: Any) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError, match="it is a directory, not a file"):
        read(tmp_path)
    with pytest.raises(OSError, match="it is a pipe"):
        read(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read(tmp_path / "absent")
    with pytest.raises(TypeError, match="path must be a str or a Path"):
        read(None)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)))
def test_other_json_is_parsed_as_ever(value: Any) -> None:
    assert parse(json.dumps(value)) == value
    assert parse(json.dumps(value).encode()) == value


def test_the_depth_of_the_caller_does_not_matter_for_the_kind_of_error(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(file_bytes(b"[" * (sys.getrecursionlimit() // 2)))
    with pytest.raises(ValueError, match="not JSON"):
        checkpoint.read_arrays(path)
