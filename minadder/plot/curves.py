"""Learning curves: loss and accuracy by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minadder.plot.figure import new_figure, plain


def learning_curves(history: Sequence[Mapping[str, Any]], title: str = "") -> Any:
    """Return a figure of the loss and the error rate, both on a logarithmic scale, of training and test data by epoch.

    Parameters
    ----------
    history
        What `ma.fit` returns.
    title
        The figure's title.

    Raises
    ------
    ValueError
        For an empty history.

    Examples
    --------
    >>> from minadder import plot
    >>> entry = {"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.8, "test_loss": None, "test_accuracy": None}
    >>> len(plot.learning_curves([entry]).axes)
    2
    """
    if not history:
        raise ValueError("the history is empty: there is nothing to draw")
    figure = new_figure(10, 4)
    figure.suptitle(plain(title))
    loss_axes, error_axes = figure.subplots(1, 2)
    epochs = [entry["epoch"] for entry in history]
    marker = "o" if len(epochs) < 30 else ""
    for part, colour in (("train", "tab:blue"), ("test", "tab:orange")):
        if history[0][f"{part}_loss"] is None:
            continue
        losses = [entry[f"{part}_loss"] for entry in history]
        errors = [100 * (1 - entry[f"{part}_accuracy"]) for entry in history]
        loss_axes.plot(epochs, losses, marker=marker, markersize=3, color=colour, label=part)
        last = f"{part}, last {100 - errors[-1]:.2f} % right"
        error_axes.plot(epochs, errors, marker=marker, markersize=3, color=colour, label=last)
    loss_axes.set(xlabel="epoch", ylabel="loss", yscale="log")
    error_axes.set(xlabel="epoch", ylabel="error / %")
    error_axes.set_yscale("symlog", linthresh=0.1)  # logarithmic, and 0 has a place
    error_axes.set_ylim(bottom=0)
    error_axes.yaxis.set_major_formatter("{x:g}")
    for axes in (loss_axes, error_axes):
        axes.grid(alpha=0.3, which="both")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    return figure
