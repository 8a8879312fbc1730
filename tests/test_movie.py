"""A film keeps a net's states in the course of a training; its movie shows them one after the other."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

import minadder as ma
from minadder import callbacks, data, models, optim
from minadder.plot.movie import LAST_SECONDS, Movie

POINTS = data.xor(64)


def train(epochs, *told, net=None):
    net = net or models.mlp((2, 4, 2))
    optimizer = optim.Adam(net.parameters(), lr=0.01, adder_lr=optim.AdaptiveLR())
    ma.fit(net, data.Loader(POINTS, 32), epochs=epochs, optimizer=optimizer, callbacks=told)
    return net


class Keep(callbacks.Callback):
    """Keeps the state after each epoch."""

    def __init__(self):
        self.states = []

    def on_epoch_end(self, run):
        self.states.append(run.net.state_dict())


def test_a_film_holds_the_net_before_and_after_each_epoch():
    film, kept = ma.plot.Film(), Keep()
    net = train(3, film, kept)
    held = [(epoch, then.state_dict()) for epoch, then in film.nets(net)]
    assert [epoch for epoch, _ in held] == [0, 1, 2, 3]
    for (_, state), own in zip(held[1:], kept.states, strict=True):
        for one, other in zip(state.values(), own.values(), strict=True):
            np.testing.assert_array_equal(one, other)
    assert (held[0][1]["fc1.weight"] != held[1][1]["fc1.weight"]).any()


@pytest.mark.parametrize(("frames", "epochs"), [(1, 7), (3, 7), (4, 9), (7, 7), (100, 5)])
def test_a_film_is_as_long_as_it_was_asked_to_be_and_even(frames, epochs):
    film = ma.plot.Film(frames)
    train(epochs, film)
    assert film.epochs[0] == 0
    assert film.epochs[-1] == epochs
    assert len(film.epochs) == min(frames, epochs) + 1
    steps = np.diff(film.epochs)
    assert steps.max() - steps.min() <= 1


def test_a_training_that_ends_early_is_held_to_its_end():
    class Stop(callbacks.Callback):
        def on_epoch_end(self, run):
            if run.epoch == 2:
                raise KeyboardInterrupt

    film = ma.plot.Film(2)
    with pytest.raises(KeyboardInterrupt):
        train(10, film, Stop())
    assert film.epochs == [0, 3]


def test_another_training_begins_the_film_anew():
    film = ma.plot.Film()
    train(2, film)
    train(3, film)
    assert film.epochs == [0, 1, 2, 3]


@pytest.mark.parametrize(("frames", "kind"), [(0, ValueError), ("60", TypeError), (2.5, TypeError)])
def test_a_film_has_a_whole_number_of_frames(frames, kind):
    with pytest.raises(kind, match="frames"):
        ma.plot.Film(frames)


@pytest.fixture(scope="module")
def movie():
    film = ma.plot.Film()
    net = train(2, film)
    before = net.state_dict()
    made = ma.plot.decision_boundary(net, POINTS.inputs, POINTS.labels, animate=film)
    for one, other in zip(before.values(), net.state_dict().values(), strict=True):
        np.testing.assert_array_equal(one, other)
    return made


def test_a_gif_holds_a_picture_of_each_state(movie, tmp_path):
    path = tmp_path / "boundary.gif"
    movie.save(path)
    with Image.open(path) as image:
        assert image.format == "GIF"
        assert image.n_frames == movie.frames == 3
        assert image.info["loop"] == 0
        pictures = []
        for frame in range(3):
            image.seek(frame)
            pictures.append(np.asarray(image.convert("RGB"), np.int64))
        assert image.info["duration"] == 1000 * LAST_SECONDS
    assert [file.name for file in tmp_path.iterdir()] == ["boundary.gif"]
    assert np.abs(pictures[0] - pictures[2]).mean() > 1


def test_each_picture_tells_its_epoch(movie):
    titles = []
    for frame in range(3):
        movie.draw(frame)
        titles.append(movie.figure.axes[0].get_title())
        assert len(movie.figure.legends) == 1
    assert [re.match(r"epoch (\d), [\d.]+ % of 64 points right$", title)[1] for title in titles] == ["0", "1", "2"]


def test_the_last_picture_is_the_net_as_it_is():
    film = ma.plot.Film()
    net = train(2, film)
    (still,) = ma.plot.decision_boundary(net, POINTS.inputs, POINTS.labels).axes
    moving = ma.plot.decision_boundary(net, POINTS.inputs, POINTS.labels, animate=film).figure.axes[0]
    assert moving.get_title() == f"epoch 2, {still.get_title()}"
    np.testing.assert_allclose(moving.images[0].get_array()[0, 0], still.images[0].get_array()[0, 0], atol=1e-6)


def test_a_page_needs_no_other_file(movie, tmp_path):
    path = tmp_path / "boundary.html"
    movie.save(path)
    page = path.read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "http" not in page
    assert re.findall(r">\s*([^\s<>]+)</button>", page) == list("−«‹◂‖▸›»+")
    assert movie._repr_html_().count("data:image/png;base64,") == 3


@pytest.mark.parametrize("name", ["boundary", "boundary.png", "boundary.mp4"])
def test_other_kinds_of_files_are_refused(movie, tmp_path, name):
    with pytest.raises(ValueError, match=rf"\.gif or \.html.*{name}"):
        movie.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_movie_outside_a_notebook_says_how_to_save_it(movie, capsys):
    movie.show()
    assert capsys.readouterr().err.count("\n") == 1


def test_what_recorded_no_training_is_named():
    net = models.mlp((2, 4, 2))
    for animate, kind, message in (
        ("boundary.gif", TypeError, r"ma\.plot\.Film\(\).*callbacks=\[film\].*'boundary.gif'"),
        (True, TypeError, "Film"),
        (ma.plot.Film(), ValueError, "empty"),
    ):
        with pytest.raises(kind, match=message):
            ma.plot.decision_boundary(net, POINTS.inputs, POINTS.labels, animate=animate)
    film = ma.plot.Film()
    train(1, film)
    with pytest.raises(ValueError, match="fc1"):
        ma.plot.decision_boundary(models.mlp((2, 5, 2)), POINTS.inputs, POINTS.labels, animate=film)


def test_a_movie_of_any_figure():
    figure = ma.plot.filter_grid(np.ones((2, 3)))
    drawn = []
    assert Movie(figure, drawn.append, 3).as_gif().startswith(b"GIF89a")
    assert drawn == [0, 1, 2]
