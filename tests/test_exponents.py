"""The exponent of ℓp adder layers: in layers and nets, falling in training, kept in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import callbacks, data, models, nn, optim
from minadder.run import Callback

fractions = st.floats(0, 1)


@given(start=st.floats(1, 2), end=st.floats(1, 2), until=st.floats(0.01, 1), fraction=fractions)
def test_p_goes_from_start_to_end_and_stays(start: float, end: float, until: float, fraction: float) -> None:
    schedule = optim.LinearP(start, end, until)
    assert schedule.p(0) == start
    assert schedule.p(1) == pytest.approx(end)
    p = schedule.p(fraction)
    assert min(start, end) - 1e-12 <= p <= max(start, end) + 1e-12
    if fraction >= until:
        assert p == pytest.approx(end)
    else:
        assert p == pytest.approx(start + (end - start) * fraction / until)


@pytest.mark.parametrize(
    "wrong", [{"start": 2.5}, {"end": 0.5}, {"until": 0}, {"until": 1.5}, {"by": "batch"}, {"start": float("nan")}]
)
def test_wrong_schedules_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        optim.LinearP(**wrong)


def exponents(net: nn.Module) -> list[float]:
    """Return p of all adder layers."""
    return [float(module.p) for module in net.modules() if isinstance(module, (nn.Adder2d, nn.AdderLinear))]


def trained(
    epochs: int, folder: Path, resume: Path | None = None, stop: int | None = None, by: str = "step"
) -> tuple[nn.Module, list[float]]:
    """Train a small ℓp net, and return it with p at the end of each epoch; stop after an epoch by an exception."""
    ma.manual_seed(0)
    net = models.mlp((2, 8, 2), "adder-lp")
    seen: list[float] = []

    class Watch(Callback):
        def on_epoch_end(self, run: Any) -> None:
            seen.append(exponents(net)[0])
            if stop is not None and run.epoch + 1 == stop:
                raise KeyboardInterrupt

    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True, adder_lr=optim.AdaptiveLR())
    folder.mkdir(exist_ok=True)
    kept = callbacks.Checkpoint(folder / "checkpoint.safetensors")
    try:
        ma.fit(
            net,
            data.Loader(data.unit_ball(60), 20, shuffle=True, seed=1),
            epochs=epochs,
            optimizer=optimizer,
            schedule=optim.Cosine(),
            p_schedule=optim.LinearP(by=by),
            callbacks=(kept, Watch()),
            resume=resume,
        )
    except KeyboardInterrupt:
        assert stop is not None
    return net, seen


def test_p_falls_by_step_or_by_epoch(tmp_path: Path) -> None:
    _, by_epoch = trained(4, tmp_path / "epoch", by="epoch")
    np.testing.assert_allclose(by_epoch, [2, 5 / 3, 4 / 3, 1], rtol=1e-6)
    _, by_step = trained(4, tmp_path / "step")
    np.testing.assert_allclose(by_step, [2 - 2 / 9, 2 - 5 / 9, 2 - 8 / 9, 1], rtol=1e-6)


def test_a_resumed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, _ = trained(4, tmp_path / "whole")
    trained(4, tmp_path / "broken", stop=2)
    resumed, _ = trained(4, tmp_path / "broken", resume=tmp_path / "broken" / "checkpoint.safetensors")
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(resumed.state_dict()[name], value, err_msg=name)


def test_another_p_schedule_does_not_go_on(tmp_path: Path) -> None:
    trained(4, tmp_path, stop=2)
    with pytest.raises(ValueError, match="p_schedule is"):
        trained(4, tmp_path, resume=tmp_path / "checkpoint.safetensors", by="epoch")


def test_the_exponent_is_saved_with_the_net(tmp_path: Path) -> None:
    net, _ = trained(2, tmp_path)
    assert exponents(net) == [1.0, 1.0]
    ma.save(net, tmp_path / "net.safetensors")
    fresh = models.mlp((2, 8, 2), "adder-lp")
    assert exponents(fresh) == [2.0, 2.0]
    ma.load(fresh, tmp_path / "net.safetensors")
    assert exponents(fresh) == [1.0, 1.0]
    points = data.unit_ball(30).inputs
    np.testing.assert_array_equal(net.eval()(points).numpy(), fresh.eval()(points).numpy())


def test_layers_of_l1_have_no_entry_for_p_and_refuse_another() -> None:
    layer = nn.AdderLinear(2, 3)
    assert set(layer.state_dict()) == {"weight"}
    assert layer.p == 1
    with pytest.raises(ValueError, match="made with p = 1, which does not change"):
        layer.set_p(1.5)
    net = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="no adder layers"):
        ma.fit(
            net,
            data.unit_ball(20),
            epochs=1,
            optimizer=optim.SGD(net.parameters(), lr=0.1, adder_lr=optim.IncreasedLR(1)),
            p_schedule=optim.LinearP(),
        )


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
def test_the_papers_rule_for_the_input_goes_with_p(p: float) -> None:
    assert nn.AdderLinear(2, 3, p=p).input_grad == ("hardtanh" if p == 1 else "power")
    assert nn.Adder2d(2, 3, 1, p=p, input_grad="sign").input_grad == "sign"
    x, w = (ma.tensor(values, dtype="float64", requires_grad=True) for values in ([[0.5, -2.0]], [[1.0, 1.5]]))
    y = ma.ops.adder_linear(x, w, p=p)
    np.testing.assert_allclose(y.numpy(), [[-(0.5**p) - 3.5**p]])
    y.sum().backward()
    d = np.array([[0.5, 3.5]])
    wanted = np.clip(d, -1, 1) if p == 1 else d ** (p - 1)
    np.testing.assert_allclose(np.asarray(x.grad), wanted)
    np.testing.assert_allclose(np.asarray(w.grad), -d)


def test_kinds_are_told_apart_by_their_exponents() -> None:
    net = nn.Sequential(nn.AdderLinear(2, 3), nn.AdderLinear(3, 3, p=2.0))
    l2 = nn.convert(net, "adder-l2", keep_first_and_last=False)
    assert exponents(l2) == [2.0, 2.0]
    np.testing.assert_array_equal(l2[1].weight.numpy(), net[1].weight.numpy())  # type: ignore[index]
    assert exponents(nn.convert(net, "adder", keep_first_and_last=False)) == [1.0, 1.0]
    assert "p=2" in repr(l2)
    assert "p=" not in repr(nn.Adder2d(1, 1, 1))
