"""What may be told of a training's progress: it is shown, kept, logged, or ended early."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from minadder import checkpoint, streams
from minadder.checks import choice, number, whole
from minadder.files import as_path, shown, write_file
from minadder.jit import seconds_compiling
from minadder.notebook import LiveLine, in_notebook
from minadder.preconditions import check_can_write
from minadder.run import Callback, Epoch, Run

__all__ = ["CSVLog", "Callback", "Checkpoint", "EarlyStopping", "Progress"]

LIVE_SECONDS = 0.1
"""How long a notebook's line stays as it is at least."""
MONITORS = ("test_loss", "test_accuracy", "train_loss", "train_accuracy")


class Progress(Callback):
    """Shows loss, accuracy and the time left: a bar on a terminal, one live line in a notebook, else a line an epoch.

    `ma.fit` has one unless `verbose=False`. What cannot be shown, since the stream is closed or full, is dropped; the
    training goes on. The time left does not count the compilation of kernels, which happens once.

    Parameters
    ----------
    file
        Where to; by default standard error, or the notebook.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self.file = streams.Display(file)
        self.line = LiveLine() if file is None and in_notebook() else None
        self._bar: Any = None
        self._begin = self._shown = 0.0
        self._first = 0
        self._announced = False

    def on_train_begin(self, run: Run) -> None:
        """Begin to show, or say that there is nothing left to do."""
        self._begin, self._first = self._now(), len(run.history)
        if self._first == run.epochs:
            self._write(f"the training is finished already: all {run.epochs} epochs are done")

    def _now(self) -> float:
        """Return the time in seconds, which stands still while kernels are compiled."""
        return time.perf_counter() - seconds_compiling()

    def _write(self, text: str) -> None:
        if self.line is not None:
            self.line.write(text)
        elif self._bar is not None:
            self._bar.write(text, file=self.file)
        else:
            self.file.write(f"{text}\n")

    def notice(self, text: str) -> None:
        """Show the first notice of a compilation; in a notebook each, in the one line."""
        if self.line is not None or not self._announced:
            self._write(text)
        self._announced = True

    def on_step_end(self, run: Run) -> None:
        """Move the bar on; it begins after the first step, which compiles kernels."""
        done = run.epoch * run.steps_per_epoch + run.step
        numbers = f"loss {run.loss:.4f}, accuracy {100 * run.accuracy:.2f} %"
        if self.line is not None:
            if time.perf_counter() - self._shown > LIVE_SECONDS:
                self._shown = time.perf_counter()
                share = run.step / run.steps_per_epoch
                self.line.write(f"epoch {run.epoch + 1}/{run.epochs}, {100 * share:.0f} % of it: {numbers}")
        elif self._bar is not None:
            self._bar.set_description(f"epoch {run.epoch + 1}/{run.epochs}", refresh=False)
            self._bar.set_postfix_str(numbers, refresh=False)
            self._bar.update()
        elif self.file.isatty():
            from tqdm import tqdm

            total = run.epochs * run.steps_per_epoch
            self._bar = tqdm(total=total, initial=done, unit="step", file=self.file, dynamic_ncols=True)

    def on_epoch_end(self, run: Run) -> None:
        """Write the epoch's line."""
        done = len(run.history)
        seconds = (self._now() - self._begin) / (done - self._first) * (run.epochs - done)
        self._write(f"{epoch_line(run.history[-1], run.epochs)}, {seconds:.0f} s left")

    def on_train_end(self, run: Run) -> None:
        """Say why the training has ended before its last epoch, and close the bar."""
        if run.stopped is not None and len(run.history) < run.epochs:
            self._write(f"ended after epoch {len(run.history)} of {run.epochs}: {run.stopped}")
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def epoch_line(entry: Epoch, epochs: int) -> str:
    """Return what an epoch gave, in one line."""
    line = f"epoch {entry['epoch']:>{len(str(epochs))}}/{epochs}: loss {entry['train_loss']:.4f}, "
    line += f"accuracy {100 * entry['train_accuracy']:.2f} %"
    if entry["test_accuracy"] is not None:
        line += f", test accuracy {100 * entry['test_accuracy']:.2f} %"
    top5 = entry.get("test_top5_accuracy")  # histories of earlier versions lack it
    if top5 is not None:
        line += f", top-5 {100 * top5:.2f} %"
    return f"{line}, {entry['seconds']:.1f} s"


class Checkpoint(Callback):
    """Writes all that is needed to go on, after each epoch, to one file, whole or not at all.

    Parameters
    ----------
    path
        The file. `ma.fit(..., resume=path)` goes on from it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = as_path(path)

    def on_train_begin(self, run: Run) -> None:
        """Try whether the file can be written at all, and hold what it must.

        Raises
        ------
        OSError
            When it cannot be written, as when there is no such folder.
        TypeError
            When a setting of the training is nothing that JSON can hold.
        """
        check_can_write(self.path)
        for name, value in run.settings.items():
            try:
                json.dumps(value)
            except (TypeError, ValueError) as error:
                raise TypeError(f"{shown(self.path)} cannot hold the training's {name}, {value!r}: {error}") from None

    def on_epoch_end(self, run: Run) -> None:
        """Write the file."""
        progress = {"settings": run.settings, "history": run.history}
        checkpoint.save_training(self.path, run.net, run.optimizer, progress)


class EarlyStopping(Callback):
    """Ends a training whose last epochs have brought nothing; the net stays as its last epoch left it.

    What it goes by is the history, so that a resumed training ends where it would have ended without the break.

    Parameters
    ----------
    patience
        After how many epochs without a new best value the training ends.
    min_delta
        By how much a value must be better than the best before to count as a new best.
    monitor
        The entry of the history: "test_loss", "train_loss", which should fall, or "test_accuracy", "train_accuracy",
        which should rise.

    Raises
    ------
    TypeError, ValueError
        For other values, and before the first step where the training has no test data to go by.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import callbacks, data, models
    >>> ma.manual_seed(0)
    >>> stopping = callbacks.EarlyStopping(patience=2, min_delta=1.0, monitor="train_loss")
    >>> net = models.mlp((2, 3, 2), "adder")
    >>> len(ma.fit(net, data.unit_ball(200), epochs=10, callbacks=[stopping], verbose=False))
    3
    """

    def __init__(self, patience: int = 10, min_delta: float = 0.0, monitor: str = "test_loss") -> None:
        self.patience = whole(patience, "patience", 1)
        self.min_delta = number(min_delta, "min_delta", "[0, inf)")
        self.monitor = choice(monitor, "monitor", MONITORS)

    def on_train_begin(self, run: Run) -> None:
        """Stop at once a training that had ended here already."""
        if run.test is None and self.monitor.startswith("test"):
            raise ValueError(
                f"EarlyStopping(monitor={self.monitor!r}) needs test data: give ma.fit test=0.2 or other data, or "
                f"monitor='train_loss'"
            )
        self.on_epoch_end(run)

    def on_epoch_end(self, run: Run) -> None:
        """Stop the training where the last epochs have brought nothing."""
        since = self.epochs_since_best([entry[self.monitor] for entry in run.history])  # type: ignore[literal-required]
        if since >= self.patience:
            run.stop(f"{self.monitor} has had no new best in {since} epochs")

    def epochs_since_best(self, values: Sequence[float]) -> int:
        """Return how many values have come since the last that was a new best."""
        sign = -1 if self.monitor.endswith("loss") else 1
        best, since = -math.inf, 0
        for value in values:
            better = sign * value > best + self.min_delta
            best, since = (sign * value, 0) if better else (best, since + 1)
        return since


class CSVLog(Callback):
    """Keeps the history in a CSV file, a row for each epoch, which is written anew after each, whole or not at all.

    Parameters
    ----------
    path
        The file; that of an earlier training is replaced.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = as_path(path)

    def on_train_begin(self, run: Run) -> None:
        """Try whether the file can be written at all; OSError when it cannot."""
        check_can_write(self.path)

    def on_epoch_end(self, run: Run) -> None:
        """Write the file; entries that are None are empty."""
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, fieldnames=list(run.history[-1]), restval="", extrasaction="ignore")
        table.writeheader()
        table.writerows(run.history)
        write_file(self.path, text.getvalue().encode())
