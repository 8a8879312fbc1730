"""Checkpoints that are whole, but hold what no training writes: a named error, and nothing has changed; or all has."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minadder as ma
from minadder import callbacks, checkpoint, data, models, optim, resume
from minadder.run import Run

OPTIMIZERS = {
    "sgd": lambda net: optim.SGD(net.parameters(), lr=0.1, momentum=0.9, adder_lr=optim.AdaptiveLR(0.2)),
    "adam": lambda net: optim.Adam(net.parameters(), lr=0.1, adder_lr=optim.IncreasedLR(1)),
}
OTHERS = [None, True, 0, -1, 3, 2.5, math.nan, math.inf, 10**400, -(10**30), "", "x", [], {}, [None], {"a": 1}, [[]]]
"""What stands in place of an entry."""
WHOLE = {
    "epoch": 1,
    "lr": 0.1,
    "train_loss": 0.5,
    "train_accuracy": 0.5,
    "test_loss": None,
    "test_accuracy": None,
    "test_top5_accuracy": None,
    "seconds": 1.0,
}


def make(kind: str) -> tuple[Any, Any, dict[str, Any]]:
    """Return a net, its optimiser, and the other arguments of a training."""
    net = models.mlp((2, 3, 2), "adder")
    return net, OPTIMIZERS[kind](net), {"train": data.Loader(data.xor(40), 20), "epochs": 3}


class Stop(callbacks.Callback):
    """Ends a training after its second epoch."""

    def on_epoch_end(self, run: Run) -> None:
        if len(run.history) == 2:
            raise KeyboardInterrupt


@pytest.fixture(scope="module", params=OPTIMIZERS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The checkpoint of a training of three epochs that was stopped after two."""
    path = tmp_path_factory.mktemp("states") / "checkpoint.safetensors"
    net, optimizer, options = make(request.param)
    with pytest.raises(KeyboardInterrupt):
        ma.fit(net, optimizer=optimizer, callbacks=[callbacks.Checkpoint(path), Stop()], **options)
    return request.param, path


def everything(net: Any, optimizer: Any, history: Any) -> str:
    """Return all that a failed attempt must leave as it was, as text."""
    state = optimizer.state_dict()
    arrays = {**net.state_dict(), **{f"optimizer/{name}": array for name, array in state.pop("arrays").items()}}
    groups = [{name: repr(group[name]) for name in group if name != "params"} for group in optimizer.param_groups]
    rest = [state, groups, ma.random.generator_state(), history]
    return checkpoint.content_digest(arrays, json.loads(json.dumps(rest)))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the places of all entries at any depth."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, one in inner for place in ((*path, key), *places(one, (*path, key)))]


def changed(state: Any, data: st.DataObject) -> Any:
    """Return a state with an entry dropped, renamed, doubled or of another value or type."""
    state = copy.deepcopy(state)
    *way, last = data.draw(st.sampled_from(places(state)))
    inside = state
    for key in way:
        inside = inside[key]
    how = data.draw(st.sampled_from(["drop", "rename", "other", "other", "more"]))
    if how == "other":
        inside[last] = data.draw(st.sampled_from(OTHERS))
    elif how == "more":
        if isinstance(inside, list):
            inside.append(copy.deepcopy(inside[last]))
        else:
            inside["more"] = copy.deepcopy(inside[last])
    else:
        value = inside.pop(last)
        if how == "rename" and isinstance(inside, dict):
            inside[f"{last}x"] = value
    return state


def changed_arrays(arrays: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """Return arrays, one of which is dropped, renamed, or of another shape or dtype."""
    arrays = dict(arrays)
    name = data.draw(st.sampled_from(sorted(arrays)))
    array = arrays.pop(name)
    how = data.draw(st.sampled_from(["drop", "rename", "shape", "dtype"]))
    if how == "rename":
        new = [f"{name}x", f"x{name}", name.partition("/")[2], "optimizer/7.exp_avg", "net/", "/", ""]
        arrays[data.draw(st.sampled_from(new))] = array
    elif how == "shape":
        arrays[name] = array[None]
    elif how == "dtype":
        arrays[name] = array.astype(np.float16)
    return arrays


def assert_all_or_nothing(kind: str, path: Path, arrays: dict[str, Any], state: Any) -> None:
    """Resume from such a checkpoint: either all fits, or one error names the file and nothing has changed."""
    checkpoint.write_arrays(path, arrays, state)
    net, optimizer, options = make(kind)
    settings = resume.describe(net, options["train"], 3, optimizer, None, None, ma.nn.CrossEntropyLoss(), 10)
    run = Run(net, optimizer, 3, 2, settings)
    before = everything(net, optimizer, run.history)
    try:
        resume.go_on(run, path)
    except ValueError as error:
        message = str(error)
        assert everything(net, optimizer, run.history) == before
        assert str(path) in message
        assert len(message) < 2000
    else:
        given, kept = checkpoint.read_arrays(path)
        assert run.history == kept["progress"]["history"]
        assert [type(entry["epoch"]) for entry in run.history] == [int] * len(run.history)
        assert [entry["epoch"] for entry in run.history] == list(range(1, len(run.history) + 1))[:3]
        assert all(math.isfinite(entry["train_loss"]) and entry["seconds"] >= 0 for entry in run.history)
        assert ma.random.generator_state() == kept["random"]
        assert optimizer.state_dict()["steps"] == kept["optimizer"]["steps"]
        assert len(optimizer.state_dict()["arrays"]) == sum(name.startswith("optimizer/") for name in given)
        for name, array in net.state_dict().items():
            assert array.tobytes() == given[f"net/{name}"].tobytes()


QUIET = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUIET
@given(data=st.data())
def test_a_state_that_no_training_writes_changes_nothing(
    written: tuple[str, Path], tmp_path: Path, data: st.DataObject
) -> None:
    kind, path = written
    arrays, state = checkpoint.read_training(path)
    assert_all_or_nothing(kind, tmp_path / "changed", arrays, changed(state, data))


@QUIET
@given(data=st.data())
def test_arrays_that_no_training_writes_change_nothing(
    written: tuple[str, Path], tmp_path: Path, data: st.DataObject
) -> None:
    kind, path = written
    arrays, state = checkpoint.read_training(path)
    assert_all_or_nothing(kind, tmp_path / "changed", changed_arrays(arrays, data), state)


@QUIET
@given(data=st.data())
def test_restoring_directly_is_all_or_nothing_too(
    written: tuple[str, Path], tmp_path: Path, data: st.DataObject
) -> None:
    kind, path = written
    arrays, state = checkpoint.read_training(path)
    net, optimizer, _ = make(kind)
    before = everything(net, optimizer, None)
    try:
        checkpoint.restore_training(arrays, changed(state, data), net, optimizer)
    except ValueError:
        assert everything(net, optimizer, None) == before


@pytest.mark.parametrize("state", [None, [], "x", 3, {}, {"format": 1}, {"format": 2}, {"format": 1, "optimizer": {}}])
def test_what_is_no_state_of_a_training_is_named(written: tuple[str, Path], tmp_path: Path, state: Any) -> None:
    kind, path = written
    arrays, _ = checkpoint.read_training(path)
    checkpoint.write_arrays(tmp_path / "changed", arrays, state)
    net, optimizer, options = make(kind)
    with pytest.raises(ValueError, match=r"changed: not (a training checkpoint|what save_training writes)"):
        ma.fit(net, optimizer=optimizer, resume=tmp_path / "changed", **options)


def test_the_checkpoint_as_it_is_goes_on(written: tuple[str, Path]) -> None:
    kind, path = written
    net, optimizer, options = make(kind)
    assert len(ma.fit(net, optimizer=optimizer, resume=path, **options)) == 3


@pytest.mark.parametrize(
    "history",
    [
        None,
        {},
        [WHOLE] * 4,
        [WHOLE, WHOLE],
        [3],
        [{**WHOLE, "epoch": 2}],
        [{**WHOLE, "epoch": True}],
        [{**WHOLE, "train_loss": math.nan}],
        [{**WHOLE, "train_loss": None}],
        [{**WHOLE, "test_loss": math.inf}],
        [{**WHOLE, "test_accuracy": 1.5}],
        [{**WHOLE, "train_accuracy": "0.5"}],
        [{**WHOLE, "lr": 10**400}],
        [{**WHOLE, "seconds": -1.0}],
        [{name: value for name, value in WHOLE.items() if name != "lr"}],
    ],
)
def test_a_history_of_another_form_is_named(history: Any) -> None:
    with pytest.raises(ValueError, match=r"holds (no|a) history|has done \d+ epochs, more than the 3"):
        resume.check_history(history, 3)


@pytest.mark.parametrize("history", [None, [WHOLE] * 4, [{**WHOLE, "train_loss": "low"}]])
def test_a_training_does_not_go_on_from_such_a_history(written: tuple[str, Path], tmp_path: Path, history: Any) -> None:
    kind, path = written
    arrays, state = checkpoint.read_training(path)
    state["progress"]["history"] = history
    assert_all_or_nothing(kind, tmp_path / "changed", arrays, state)
    net, optimizer, options = make(kind)
    with pytest.raises(ValueError, match=r"changed (holds (no|a) history|is of a training that has done 4 epochs)"):
        ma.fit(net, optimizer=optimizer, resume=tmp_path / "changed", **options)


def test_histories_with_more_or_of_earlier_versions_are_taken() -> None:
    entry = {name: value for name, value in WHOLE.items() if name != "test_top5_accuracy"}
    resume.check_history([entry, {**WHOLE, "epoch": 2, "own": "note"}], 2)
    resume.check_history([], 1)


@pytest.mark.parametrize(
    "change",
    [
        {"bit_generator": "MT19937"},
        {"state": {"state": 1}},
        {"state": {"state": 1.0, "inc": 1}},
        {"state": {"state": 2**200, "inc": 1}},
        {"state": None},
        {"has_uint32": True},
        {"uinteger": -1},
        {"more": 1},
    ],
)
def test_a_random_state_of_another_form_leaves_the_generator_as_it_is(change: dict[str, Any]) -> None:
    before = ma.random.generator_state()
    with pytest.raises(ValueError, match="not the state of a random generator"):
        ma.random.set_generator_state({**before, **change})
    assert ma.random.generator_state() == before


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimiser_with_other_settings_than_its_training_is_refused(kind: str, tmp_path: Path) -> None:
    net, optimizer, options = make(kind)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        ma.fit(net, optimizer=optimizer, callbacks=[callbacks.Checkpoint(path), Stop()], **options)
    arrays, state = checkpoint.read_training(path)
    for name in state["optimizer"]["groups"][0].keys() - {"lr", "shapes"}:
        altered = copy.deepcopy(state)
        value = altered["optimizer"]["groups"][0][name]
        altered["optimizer"]["groups"][0][name] = [0.5, 0.5] if name == "betas" else 0.25 if value != 0.25 else 0.5
        with pytest.raises(ValueError, match=r"the .* of its optimiser is"):
            go_on_from(tmp_path / "altered", arrays, altered, kind)


@pytest.mark.parametrize("part", ["net/", "optimizer/"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_arrays_that_hold_nan_are_refused(kind: str, part: str, tmp_path: Path) -> None:
    net, optimizer, options = make(kind)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        ma.fit(net, optimizer=optimizer, callbacks=[callbacks.Checkpoint(path), Stop()], **options)
    arrays, state = checkpoint.read_training(path)
    name = next(name for name, array in arrays.items() if name.startswith(part) and array.dtype.kind == "f")
    arrays[name] = np.full_like(arrays[name], np.nan)
    with pytest.raises(ValueError, match=f"holds NaN in {name}"):
        go_on_from(tmp_path / "altered", arrays, state, kind)


def go_on_from(path: Path, arrays: dict[str, Any], state: Any, kind: str) -> None:
    """Write a checkpoint of such content, and go on from it with a net that must stay as it was where that fails."""
    checkpoint.write_arrays(path, arrays, state)
    net, optimizer, options = make(kind)
    before = everything(net, optimizer, None)
    try:
        ma.fit(net, optimizer=optimizer, resume=path, **options)
    except ValueError:
        assert everything(net, optimizer, None) == before
        raise
