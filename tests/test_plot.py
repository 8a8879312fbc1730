"""The figures hold what they are given."""

from __future__ import annotations

import numpy as np
import pytest

from minadder import plot


def entry(epoch, test=True):
    value = 1 / epoch
    return {
        "epoch": epoch,
        "train_loss": value,
        "train_accuracy": 1 - value / 2,
        "test_loss": 2 * value if test else None,
        "test_accuracy": 1 - value if test else None,
    }


@pytest.mark.parametrize("test", [True, False])
def test_learning_curves_draw_the_history(test):
    loss_axes, error_axes = plot.learning_curves([entry(1, test), entry(2, test)], "a title").axes
    assert len(loss_axes.lines) == len(error_axes.lines) == (2 if test else 1)
    np.testing.assert_allclose(loss_axes.lines[0].get_ydata(), [1, 0.5])
    np.testing.assert_allclose(error_axes.lines[0].get_ydata(), [50, 25])
    assert loss_axes.get_xlabel() == "epoch"


def test_an_empty_history_is_refused():
    with pytest.raises(ValueError, match="empty"):
        plot.learning_curves([])


@pytest.mark.parametrize(("shape", "images"), [((6, 1, 5, 5), 6), ((100, 3, 3, 3), 64), ((1, 1, 5, 5), 1), ((4, 9), 1)])
def test_filters_are_drawn_on_one_symmetric_scale(shape, images):
    filters = np.random.default_rng(0).standard_normal(shape)
    axes = plot.filter_grid(filters).axes
    shown = [image for ax in axes[:-1] for image in ax.images]
    assert len(shown) == images
    assert len({image.get_clim() for image in shown}) == 1
    low, high = shown[0].get_clim()
    assert low == -high


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2), (0, 1, 5, 5)])
def test_wrong_filters_are_named(shape):
    with pytest.raises(ValueError, match=str(shape)[1:-1]):
        plot.filter_grid(np.zeros(shape))


def test_a_figure_is_saved_as_a_png(tmp_path):
    path = tmp_path / "figure.png"
    plot.save_figure(plot.filter_grid(np.ones((2, 1, 3, 3))), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == ["figure.png"]
