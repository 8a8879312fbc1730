"""Callbacks: early stopping, the CSV log, ending a training, and what they see; and progress where it is shown."""

from __future__ import annotations

import csv
import io
import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import callbacks, data, jit, models, notices, optim

TRAIN, TEST = data.two_balls(64), data.two_balls(32, seed=1)


def fit(*more, epochs=4, net=None, verbose=False, **options):
    ma.manual_seed(0)
    net = models.mlp((2, 4, 2), "adder") if net is None else net
    return ma.fit(net, TRAIN, TEST, epochs=epochs, callbacks=more, verbose=verbose, **options)


class At(callbacks.Callback):
    """Does something after an epoch."""

    def __init__(self, epoch, what):
        self.epoch, self.what = epoch, what

    def on_epoch_end(self, run):
        if run.epoch + 1 == self.epoch:
            self.what(run)


def test_a_callback_ends_a_training_after_its_epoch():
    assert len(fit(At(2, lambda run: run.stop()))) == 2

    class InTheMiddle(callbacks.Callback):
        def on_step_end(self, run):
            run.stop()

    history = fit(InTheMiddle())
    assert len(history) == 1
    assert history[0]["test_accuracy"] is not None


def test_callbacks_see_both_loaders():
    seen = []
    fit(At(1, lambda run: seen.append((run.train.dataset, run.test.dataset))))
    assert seen == [(TRAIN, TEST)]


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 4), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_early_stopping_counts_the_epochs_since_the_best(values, patience, min_delta):
    for monitor, sign in (("test_loss", 1), ("test_accuracy", -1)):
        stopping = callbacks.EarlyStopping(patience, min_delta, monitor)
        since, best = 0, np.inf
        for value in values:
            since += 1
            if value < best - min_delta:
                best, since = value, 0
        assert stopping.epochs_since_best([sign * value for value in values]) == since


def test_early_stopping_ends_a_training_and_a_resumed_one_at_the_same_epoch(tmp_path):
    path = tmp_path / "checkpoint"

    def stopping():
        return callbacks.EarlyStopping(patience=2, min_delta=10.0)

    whole = fit(stopping(), callbacks.Checkpoint(path), epochs=20)
    assert len(whole) == 3
    assert len(fit(stopping(), epochs=20, resume=path)) == 3
    fit(At(2, lambda run: run.stop()), callbacks.Checkpoint(path), epochs=20)
    resumed = fit(stopping(), epochs=20, resume=path)
    assert [entry["test_loss"] for entry in resumed] == [entry["test_loss"] for entry in whole]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"patience": 0}, ValueError, "patience must be at least 1"),
        ({"patience": 1.5}, TypeError, "patience must be an int"),
        ({"min_delta": -1}, ValueError, "min_delta"),
        ({"monitor": "val_loss"}, ValueError, "monitor must be one of 'test_loss'"),
    ],
)
def test_early_stopping_names_what_is_wrong(options, error, message):
    with pytest.raises(error, match=message):
        callbacks.EarlyStopping(**options)


def test_early_stopping_without_test_data_is_said_before_the_first_step():
    with pytest.raises(ValueError, match=r"needs test data: give ma.fit test=0.2"):
        ma.fit(models.mlp((2, 4, 2), "adder"), TRAIN, epochs=2, callbacks=[callbacks.EarlyStopping()], verbose=False)


def test_the_log_is_the_history(tmp_path):
    path = tmp_path / "log.csv"
    history = fit(callbacks.CSVLog(path))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    for row, entry in zip(rows, history, strict=True):
        assert float(row["test_loss"]) == entry["test_loss"]
        assert row["test_top5_accuracy"] == ""


def test_a_log_that_cannot_be_written_is_found_before_the_first_step(tmp_path):
    with pytest.raises(FileNotFoundError, match="cannot be written"):
        fit(callbacks.CSVLog(tmp_path / "missing" / "log.csv"))


def test_more_epochs_go_on_and_a_stretched_schedule_is_told(tmp_path):
    path = tmp_path / "checkpoint"

    def constant(net):
        return {"net": net, "optimizer": optim.SGD(net.parameters(), lr=0.05, adder_lr=optim.AdaptiveLR(0.2))}

    def net():
        ma.manual_seed(0)
        return models.mlp((2, 4, 2), "adder")

    whole = fit(epochs=5, **constant(net()))
    fit(callbacks.Checkpoint(path), epochs=2, **constant(net()))
    longer = fit(epochs=5, resume=path, **constant(net()))  # no schedule: the same bits, and nothing to warn of
    assert [entry["test_loss"] for entry in longer] == [entry["test_loss"] for entry in whole]

    fit(callbacks.Checkpoint(path), epochs=2)
    with pytest.warns(UserWarning, match=r"to have 2 epochs and now has 5: its schedule Cosine\(.*\) goes on as if"):
        stretched = fit(callbacks.Checkpoint(path), epochs=5, resume=path)
    assert [entry["epoch"] for entry in stretched] == [1, 2, 3, 4, 5]
    assert stretched[2]["lr"] == pytest.approx(0.1 * optim.Cosine().factor((2 + 0 / 1) / 5))
    with pytest.raises(ValueError, match="has done 5 epochs, more than the 3 of this one"):
        fit(epochs=3, resume=path)


def test_progress_is_shown_unless_it_is_not_wanted(capsys):
    fit(verbose=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"epoch {epoch}/4" for epoch in (1, 2, 3, 4)]
    fit(verbose=False)
    assert capsys.readouterr().err == ""
    own = io.StringIO()
    fit(callbacks.Progress(own), verbose=True)
    assert capsys.readouterr().err == ""
    assert len(own.getvalue().splitlines()) == 4


def test_why_a_training_ended_is_shown():
    own = io.StringIO()
    fit(callbacks.Progress(own), callbacks.EarlyStopping(patience=1, min_delta=10.0))
    assert own.getvalue().splitlines()[-1] == "ended after epoch 2 of 4: test_loss has had no new best in 1 epochs"


def test_compiling_is_told_in_one_line_and_counts_for_no_estimate(monkeypatch):
    own = io.StringIO()
    progress = callbacks.Progress(own)

    class Compiles(callbacks.Callback):
        def on_step_end(self, run):
            if run.epoch == 0:
                for name in ("a", "b", "c"):
                    notices.notice(f"compiling {name} …")
                monkeypatch.setattr(jit.NOTICE, "seconds", jit.NOTICE.seconds + 1000.0)

    fit(progress, Compiles())
    lines = own.getvalue().splitlines()
    assert lines[0] == "compiling a …"
    assert len(lines) == 5
    # the clock has stood still for 1000 s, and has not been wound: the estimate is far below what it would be
    assert float(lines[1].split(", ")[-1].split()[0]) <= 0


def test_notices_are_dropped_by_a_silent_training(capsys):
    class Compiles(callbacks.Callback):
        def on_step_end(self, run):
            notices.notice("compiling …")

    fit(Compiles())
    assert capsys.readouterr() == ("", "")
    notices.notice("compiling …")
    assert capsys.readouterr().err == "compiling …\n"


def test_a_callback_of_ones_own_may_call_anything_notice():
    class Own(callbacks.Callback):
        notice = "no function"

        def on_step_end(self, run):
            notices.notice("compiling …")

    assert len(fit(Own())) == 4


class Shown:
    """What stands for IPython.display: keeps what is on the screen."""

    def __init__(self):
        self.outputs, self.updates = [], 0

    def display(self, content, raw, display_id):
        assert (raw, display_id) == (True, True)
        self.outputs.append(content["text/plain"])
        place = len(self.outputs) - 1

        def update(content, raw):
            assert raw
            self.updates += 1
            self.outputs[place] = content["text/plain"]

        return types.SimpleNamespace(update=update)


def test_a_notebook_has_one_line_which_changes(monkeypatch, capsys):
    shown = Shown()
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.display = shown.display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    monkeypatch.setattr(callbacks, "LIVE_SECONDS", -1)
    fit(verbose=True)
    assert len(shown.outputs) == 1
    assert shown.outputs[0].startswith("epoch 4/4: loss")
    assert shown.updates == 7  # 4 steps and 4 epochs, of which the first made it
    fit(verbose=False)
    assert len(shown.outputs) == 1
    assert capsys.readouterr() == ("", "")
