"""States of nets to PyTorch and from it, each in one line; `strict=`; files of torch.save."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minadder as ma
from minadder import nn

torch = pytest.importorskip("torch", reason="needs PyTorch, which is optional")


def ours() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))


def theirs() -> Any:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3, padding=1),
        torch.nn.BatchNorm2d(3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(48, 2),
    )
    net(torch.randn(5, 2, 4, 4))  # running statistics
    return net


X = np.random.default_rng(0).standard_normal((4, 2, 4, 4)).astype(np.float32)


def same_outputs(one: nn.Module, other: Any) -> bool:
    wanted = other.eval()(torch.tensor(X)).detach().numpy()
    return np.allclose(one.eval()(X).numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_each_direction_is_a_line() -> None:
    net, other = ours(), theirs()
    assert not same_outputs(net, other)
    assert net.from_torch(other.state_dict()) == ([], [])
    assert same_outputs(net, other)
    net, other = ours(), theirs()
    net.train()(X)
    other.load_state_dict(net.to_torch())  # strict
    assert same_outputs(net, other)
    assert int(other[1].num_batches_tracked) == 1


def test_what_goes_to_pytorch_is_a_copy_of_the_same_dtype() -> None:
    net = ours()
    state = net.to_torch()
    assert list(state) == list(net.state_dict())
    for tensor in state.values():
        tensor += 1
    assert all(not np.array_equal(value, state[name].numpy()) for name, value in net.state_dict().items())
    assert {name: tensor.numpy().dtype for name, tensor in net.to("float64").to_torch().items()} == {
        name: value.dtype for name, value in net.state_dict().items()
    }


def test_parameters_and_half_precision_come_from_pytorch() -> None:
    other = theirs()
    live = {**dict(other.named_parameters()), **dict(other.named_buffers())}
    assert any(tensor.requires_grad for tensor in live.values())
    net = ours()
    net.from_torch(live)
    assert same_outputs(net, other)
    half = {name: tensor.bfloat16() if tensor.is_floating_point() else tensor for name, tensor in live.items()}
    net.from_torch(half)
    np.testing.assert_array_equal(net[0].weight.numpy(), half["0.weight"].detach().float().numpy())
    with pytest.raises(ValueError, match=r"0\.weight of Sequential has shape .*float32, but the state holds .*float64"):
        net.from_torch({name: tensor.double() for name, tensor in live.items()})


def test_a_net_of_pytorch_is_no_state() -> None:
    for load in (ours().from_torch, ours().load_state_dict):
        with pytest.raises(TypeError, match=r"not Sequential: pass one, its state_dict\(\)"):
            load(theirs())


def test_without_pytorch_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install torch"):
        ours().to_torch()


@pytest.mark.parametrize("lacking", [(), ("0.weight",), ("1.running_mean", "4.bias"), ("1.num_batches_tracked",)])
@pytest.mark.parametrize("unknown", [(), ("head.weight", "a")])
def test_names_are_missing_and_unexpected_as_in_pytorch(lacking: tuple[str, ...], unknown: tuple[str, ...]) -> None:
    given = {name: tensor for name, tensor in theirs().state_dict().items() if name not in lacking}
    given |= {name: torch.ones(1) for name in unknown}
    wanted = theirs().load_state_dict(dict(given), strict=False)
    for load in (lambda net: net.load_state_dict(given, strict=False), lambda net: net.from_torch(given, strict=False)):
        net = ours()
        before = net.state_dict()
        keys = load(net)
        assert sorted(keys.missing_keys) == sorted(wanted.missing_keys)
        assert sorted(keys.unexpected_keys) == sorted(wanted.unexpected_keys)
        missing, unexpected = keys
        assert (missing, unexpected) == (keys.missing_keys, keys.unexpected_keys)
        for name, value in net.state_dict().items():
            np.testing.assert_array_equal(value, before[name] if name in lacking else given[name].numpy())
    if wanted.missing_keys or wanted.unexpected_keys:
        for strict in (True, np.True_):
            with pytest.raises(ValueError, match="the state does not fit Sequential: missing"):
                ours().load_state_dict(given, strict=strict)  # type: ignore[arg-type]


def test_what_is_there_must_fit_whether_or_not_strict() -> None:
    net = ours()
    before = net.state_dict()
    for wrong in (np.ones((1, 2, 3, 3), np.float32), before["0.weight"].astype(np.float64)):
        with pytest.raises(ValueError, match="but the state holds"):
            net.load_state_dict({"4.bias": np.ones(2, np.float32), "0.weight": wrong}, strict=False)
    assert all(np.array_equal(value, before[name]) for name, value in net.state_dict().items())
    net.load_state_dict({"no array": object()}, strict=False)
    with pytest.raises(TypeError, match="strict must be True or False"):
        net.load_state_dict(before, strict="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["net.pth", "net.pt", "net.bin", "net.ckpt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_torch_save_gets_an_error_that_says_what_to_do(tmp_path: Path, name: str, zipped: bool) -> None:
    other, net, path = theirs(), ours(), tmp_path / name
    torch.save(other.state_dict(), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=rf"{name}.*net\.from_torch\(torch\.load\(.*weights_only=True\)\)"):
        ma.load(net, path)
    net.from_torch(torch.load(path, map_location="cpu", weights_only=True))
    assert same_outputs(net, other)


def test_other_files_that_are_none_are_refused_as_before(tmp_path: Path) -> None:
    for name, word in (("net.pth", "torch.save"), ("net.safetensors", "truncated")):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(ValueError, match=word):
            ma.load(ours(), tmp_path / name)
    with pytest.raises(FileNotFoundError):
        ma.load(ours(), tmp_path / "none.pth")
    net = ours()
    ma.save(net, tmp_path / "net.bin")  # by whatever name
    ma.load(net, tmp_path / "net.bin")
