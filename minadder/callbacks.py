"""What may be told of a training's progress: Progress shows it, Checkpoint keeps it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, TextIO

from minadder import checkpoint, streams
from minadder.files import as_path, shown
from minadder.preconditions import check_can_write
from minadder.training import Callback, Epoch, Run

__all__ = ["Callback", "Checkpoint", "Progress"]


class Progress(Callback):
    """Shows loss, accuracy and the time left: a bar on a terminal, elsewhere a line for each epoch.

    What cannot be shown, since the stream is closed or full, is dropped; the training goes on.

    Parameters
    ----------
    file
        Where to; by default standard error.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self.file = streams.Display(file)
        self._bar: Any = None
        self._begin = 0.0
        self._first = 0

    def on_train_begin(self, run: Run) -> None:
        """Open the bar, or say that there is nothing left to do."""
        self._begin, self._first = time.perf_counter(), len(run.history)
        if self._first == run.epochs:
            self.file.write(f"the training is finished already: all {run.epochs} epochs are done\n")
        elif self.file.isatty():
            from tqdm import tqdm

            steps = run.steps_per_epoch
            self._bar = tqdm(
                total=run.epochs * steps, initial=self._first * steps, unit="step", file=self.file, dynamic_ncols=True
            )

    def on_step_end(self, run: Run) -> None:
        """Move the bar on."""
        if self._bar is not None:
            self._bar.set_description(f"epoch {run.epoch + 1}/{run.epochs}", refresh=False)
            self._bar.set_postfix_str(f"loss {run.loss:.4f}, accuracy {100 * run.accuracy:.2f} %", refresh=False)
            self._bar.update()

    def on_epoch_end(self, run: Run) -> None:
        """Write the epoch's line."""
        done = len(run.history)
        seconds = (time.perf_counter() - self._begin) / (done - self._first) * (run.epochs - done)
        line = f"{epoch_line(run.history[-1], run.epochs)}, {seconds:.0f} s left"
        if self._bar is not None:
            self._bar.write(line, file=self.file)
        else:
            self.file.write(f"{line}\n")

    def on_train_end(self, run: Run) -> None:
        """Close the bar."""
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
