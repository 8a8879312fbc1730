"""Film: keeps what a net was in the course of its training, for moving pictures."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from minadder.autograd import Array
from minadder.checks import whole
from minadder.nn import Module
from minadder.run import Callback, Run


class Film(Callback):
    """Keeps the net's state before the training and after epochs, evenly spread over the training, the last included.

    Pass it to `ma.fit` among the callbacks, and to `ma.plot.decision_boundary` as `animate`. Another training begins
    it anew.

    Parameters
    ----------
    frames
        How many states to keep at most, that before the training not counted.

    Examples
    --------
    >>> import minadder as ma
    >>> net = ma.models.mlp((2, 4, 2))
    >>> film = ma.plot.Film()
    >>> optimizer = ma.optim.Adam(net.parameters(), adder_lr=ma.optim.AdaptiveLR())
    >>> history = ma.fit(net, ma.data.xor(64), epochs=3, optimizer=optimizer, callbacks=[film])
    >>> film.epochs
    [0, 1, 2, 3]
    """

    def __init__(self, frames: int = 60) -> None:
        self.frames = whole(frames, "frames", 1)
        self.epochs: list[int] = []
        """After how many epochs each state was kept."""
        self._states: list[dict[str, Array]] = []

    def on_train_begin(self, run: Run) -> None:
        """Keep the first state."""
        self.epochs, self._states = [], []
        self._keep(run)

    def on_epoch_end(self, run: Run) -> None:
        """Keep the state when its turn has come."""
        begin, done = self.epochs[0], len(run.history)
        share = self.frames / max(run.epochs - begin, self.frames)
        if int(share * (done - begin)) > int(share * (done - begin - 1)):
            self._keep(run)

    def on_train_end(self, run: Run) -> None:
        """Keep the last state, also that of a training that was stopped."""
        if self.epochs[-1] == len(run.history):
            self.epochs.pop()
            self._states.pop()
        self._keep(run)

    def _keep(self, run: Run) -> None:
        self.epochs.append(len(run.history))
        self._states.append(run.net.state_dict())

    def nets(self, net: Module) -> Iterator[tuple[int, Module]]:
        """Yield (epochs, net): a copy of the net, which is another net's each time, as it was after so many epochs."""
        copied = copy.deepcopy(net)
        for epoch, state in zip(self.epochs, self._states, strict=True):
            copied.load_state_dict(state)
            yield epoch, copied
