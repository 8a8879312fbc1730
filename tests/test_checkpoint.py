"""Files on disk: written whole or not at all, and every damage is told with the file's name."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import callbacks, checkpoint, data, models, nn, optim


def small_file(folder):
    path = folder / "net.safetensors"
    checkpoint.write_arrays(path, {"a": np.arange(6.0).reshape(2, 3), "b": np.array(3)}, {"epoch": 1})
    return path


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return small_file(tmp_path_factory.mktemp("files")).read_bytes()


def read(folder, content):
    path = folder / "damaged.safetensors"
    path.write_bytes(content)
    return checkpoint.read_arrays(path)


def test_arrays_and_state_come_back(tmp_path):
    arrays, state = checkpoint.read_arrays(small_file(tmp_path))
    np.testing.assert_array_equal(arrays["a"], np.arange(6.0).reshape(2, 3))
    assert arrays["b"].shape == ()
    assert arrays["b"].dtype == np.int64
    assert state == {"epoch": 1}


@given(drawn=st.data())
def test_a_truncated_file_is_refused(content, tmp_path_factory, drawn):
    length = drawn.draw(st.integers(0, len(content) - 1))
    with pytest.raises(ValueError, match=r"damaged\.safetensors"):
        read(tmp_path_factory.getbasetemp(), content[:length])


@given(drawn=st.data())
def test_an_altered_byte_is_refused_or_changes_no_value(content, tmp_path_factory, drawn):
    place = drawn.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[place] ^= drawn.draw(st.integers(1, 255))
    folder = tmp_path_factory.getbasetemp()
    with contextlib.suppress(ValueError):  # what may pass is other white space, or another name for the metadata
        arrays, state = read(folder, bytes(changed))
        original, original_state = read(folder, content)
        assert state in (original_state, None)
        assert checkpoint.content_digest(arrays, 0) == checkpoint.content_digest(original, 0)


@pytest.mark.parametrize("place", [-1, -20, -48])
def test_an_altered_value_is_refused_by_the_digest(content, tmp_path, place):
    changed = bytearray(content)
    changed[place] ^= 1
    with pytest.raises(ValueError, match=r"damaged\.safetensors: the content does not match its SHA-256"):
        read(tmp_path, bytes(changed))


def test_other_formats_are_refused_and_not_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "unpickled"),))

    for content in (pickle.dumps(Trap()), b"\x93NUMPY" + b"\0" * 100, b"not a tensor file at all"):
        with pytest.raises(ValueError, match=r"damaged\.safetensors"):
            read(tmp_path, content)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("length", [2**63 - 1, 2**40, 10_000])
def test_an_oversized_header_is_refused_before_it_is_believed(tmp_path, content, length):
    with pytest.raises(ValueError, match=rf"claims {length} bytes"):
        read(tmp_path, length.to_bytes(8, "little") + content[8:])


@pytest.mark.parametrize(
    "array", [np.ones(3, ">f4"), np.asfortranarray(np.eye(2, 3)), np.arange(4)[::-1], np.zeros((0, 3))]
)
def test_arrays_that_lie_otherwise_in_memory_come_back(tmp_path, array):
    checkpoint.write_arrays(tmp_path / "file", {"a": array})
    np.testing.assert_array_equal(checkpoint.read_arrays(tmp_path / "file")[0]["a"], array)


def test_what_safetensors_cannot_hold_is_refused_and_not_written(tmp_path):
    for array in (np.ones(2, complex), np.array([None]), np.array(["text"]), np.ones(2, np.longdouble)):
        with pytest.raises(TypeError, match=f"cannot hold arrays of these dtypes, .*{array.dtype}"):
            checkpoint.write_arrays(tmp_path / "file", {"a": array})
    with pytest.raises(ValueError, match="can have the name '__metadata__'"):
        checkpoint.write_arrays(tmp_path / "file", {"__metadata__": np.ones(1)})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        checkpoint.read_arrays(tmp_path / "nothing.safetensors")


def test_a_full_disk_leaves_the_old_file_and_no_remains(tmp_path, monkeypatch):
    path = small_file(tmp_path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        checkpoint.write_arrays(path, {"a": np.zeros(3)})
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_the_remains_of_a_killed_writer_are_overwritten(tmp_path):
    (tmp_path / ".net.safetensors.part").write_bytes(b"half")
    path = small_file(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_network_comes_back_with_the_same_bits(tmp_path):
    net, other = models.lenet5_bn("adder"), models.lenet5_bn("adder")
    ma.save(net, tmp_path / "net.safetensors")
    ma.load(other, tmp_path / "net.safetensors")
    for name, array in net.state_dict().items():
        assert array.tobytes() == other.state_dict()[name].tobytes(), name


def test_a_file_of_another_network_is_refused_and_changes_nothing(tmp_path):
    net = nn.Linear(2, 3)
    ma.save(nn.Linear(2, 4), tmp_path / "net.safetensors")
    before = net.state_dict()
    with pytest.raises(ValueError, match=r"net\.safetensors: weight .*\(3, 2\).*\(4, 2\)"):
        ma.load(net, tmp_path / "net.safetensors")
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_files_of_pytorch_are_read_and_ours_are_read_by_it(tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch, which is optional")
    from safetensors.torch import load_file, save_file

    theirs = torch.nn.Linear(2, 3)
    save_file(theirs.state_dict(), tmp_path / "torch.safetensors")
    net = nn.Linear(2, 3)
    ma.load(net, tmp_path / "torch.safetensors")
    np.testing.assert_array_equal(net.weight.numpy(), theirs.weight.detach().numpy())
    ma.save(net, tmp_path / "ours.safetensors")
    theirs.load_state_dict(load_file(tmp_path / "ours.safetensors"))


def test_a_dtype_that_numpy_lacks_is_named(tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch, which is optional")
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(1, 1, dtype=torch.bfloat16)}, tmp_path / "half.safetensors")
    with pytest.raises(ValueError, match=r"half\.safetensors: NumPy has no dtype BF16"):
        ma.load(nn.Linear(1, 1), tmp_path / "half.safetensors")


def test_a_training_state_comes_back(tmp_path):
    net = models.mlp((2, 3, 2), "adder")
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, adder_lr=optim.AdaptiveLR(0.2))
    net(np.ones((4, 2), np.float32)).sum().backward()
    optimizer.step()
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save_training(path, net, optimizer, {"note": 1})
    drawn = ma.random.generator().standard_normal()

    other = models.mlp((2, 3, 2), "adder")
    restored = optim.SGD(other.parameters(), lr=0.1, momentum=0.9, adder_lr=optim.AdaptiveLR(0.2))
    arrays, state = checkpoint.read_training(path)
    checkpoint.restore_training(arrays, state, other, restored)
    assert state["progress"] == {"note": 1}
    assert ma.random.generator().standard_normal() == drawn
    assert json.dumps(restored.state_dict()["groups"]) == json.dumps(optimizer.state_dict()["groups"])
    for name, array in optimizer.state_dict()["arrays"].items():
        assert array.tobytes() == restored.state_dict()["arrays"][name].tobytes()


def test_the_home_folder_may_be_written_by_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    net, other = models.mlp((2, 3, 2), "adder"), models.mlp((2, 3, 2), "adder")
    ma.save(net, "~/net.safetensors")
    ma.load(other, "~/net.safetensors")
    options = {"epochs": 1, "optimizer": optim.SGD(net.parameters(), lr=0.1, adder_lr=optim.IncreasedLR(1))}
    ma.fit(net, data.xor(20), callbacks=[callbacks.Checkpoint("~/a.safetensors")], **options)
    assert len(ma.fit(net, data.xor(20), resume="~/a.safetensors", **options)) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.safetensors", "net.safetensors"]


@pytest.mark.parametrize(("path", "error"), [(None, TypeError), (3, TypeError), (b"a", TypeError), ("", ValueError)])
def test_what_is_no_path_is_refused_at_the_door(path, error):
    net = nn.Linear(1, 1)
    optimizer = optim.SGD(net.parameters(), lr=0.1, adder_lr=optim.IncreasedLR(1))
    with pytest.raises(error, match="path must"):
        ma.save(net, path)
    with pytest.raises(error, match="path must"):
        ma.load(net, path)
    with pytest.raises(error, match="path must"):
        callbacks.Checkpoint(path)
    if path is not None:
        with pytest.raises(error, match="resume must"):
            ma.fit(net, data.xor(20), epochs=1, optimizer=optimizer, resume=path)


def test_a_network_file_is_no_training_checkpoint(tmp_path):
    ma.save(nn.Linear(1, 1), tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="not a training checkpoint"):
        checkpoint.read_training(tmp_path / "net.safetensors")
