"""Figures show themselves: in a notebook, in a window, and where there is neither in words."""

from __future__ import annotations

import io
import os
import sys

import fresh_process
import matplotlib
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

import minadder as ma
from minadder import plot


def test_a_figure_gives_notebooks_its_picture(tmp_path):
    figure = plot.filter_grid(np.ones((2, 1, 3, 3)), "☃ 漢字")
    with Image.open(io.BytesIO(figure._repr_png_())) as picture:
        assert picture.format == "PNG"
        assert picture.size == tuple(round(120 * inches) for inches in figure.get_size_inches())
    plot.filter_grid(np.ones((2, 3))).savefig(tmp_path / "figure.pdf")
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_without_a_display_one_line_says_so(capsys):
    plot.filter_grid(np.ones((2, 3))).show()
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "savefig" in told.err
    plot.filter_grid(np.ones((2, 3))).show(warn=False)
    assert capsys.readouterr().err == ""


WINDOWS = """
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

shown = []

class Manager(FigureManagerBase):
    def show(self):
        shown.append(self.canvas.figure)

    @classmethod
    def start_main_loop(cls):
        shown.append("until it is closed")

class FigureCanvas(FigureCanvasAgg):
    manager_class = Manager

FigureManager = Manager
"""


def test_with_a_display_a_window_opens(tmp_path, tmp_path_factory):
    (tmp_path / "windows.py").write_text(WINDOWS)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "import minadder as ma, numpy as np\n"
    code += "figure = ma.plot.filter_grid(np.ones((2, 3))); figure.show(); import windows\n"
    code += "print(windows.shown == [figure, 'until it is closed'], len(figure._repr_png_()) > 1000)"
    done = fresh_process.run(code, tmp_path_factory.mktemp("cache"), MPLBACKEND="module://windows")
    assert (done.stdout, done.stderr) == ("True True\n", "")


@pytest.mark.parametrize("backend", ["no-such-backend", "module://no_such_module", "agg"])
def test_a_backend_that_is_not_there_is_no_display(tmp_path, backend):
    code = "import minadder as ma, numpy as np; ma.plot.filter_grid(np.ones((2, 3))).show()"
    done = fresh_process.run(code, tmp_path, MPLBACKEND=backend)
    assert done.stderr.count("\n") == 1
    assert "no display" in done.stderr


def test_importing_takes_no_picture_libraries_with_it(tmp_path):
    code = "import sys, minadder as ma; ma.plot.decision_boundary, ma.plot.Film, ma.plot.filter_grid, dir(ma.plot)\n"
    code += "print([name for name in ('matplotlib', 'sklearn', 'PIL', 'IPython', 'pandas') if name in sys.modules])"
    assert fresh_process.run(code, tmp_path).stdout == "[]\n"


def test_all_names_are_there():
    assert set(plot.__all__) <= set(dir(plot))
    for name in plot.__all__:
        assert callable(getattr(plot, name))
    assert ma.plot is plot
    with pytest.raises(AttributeError, match=r"minadder\.plot.*no_such_thing"):
        plot.no_such_thing  # noqa: B018


NOTEBOOK = [
    "import numpy as np, minadder as ma\n"
    "rng = np.random.default_rng(0)\n"
    "X = rng.standard_normal((60, 2)); y = (X.prod(axis=1) > 0).astype(int)\n"
    "net = ma.models.mlp((2, 4, 2)); film = ma.plot.Film(2)\n"
    "data = ma.data.Dataset(X.astype('float32'), y, 2, 'mine')\n"
    "opt = ma.optim.Adam(net.parameters(), adder_lr=ma.optim.AdaptiveLR())\n"
    "history = ma.fit(net, ma.data.Loader(data, 30), epochs=2, optimizer=opt, callbacks=[film])",
    "ma.plot.decision_boundary(net, X, y)",
    "ma.plot.graph(net(ma.tensor(X, 'float32')).sum(), net)",
    "ma.plot.filter_grid(net.fc1.weight).show()",
    "ma.plot.learning_curves(history)",
    "ma.plot.confusion_matrix(net, (X, y))",
    "ma.plot.decision_boundary(net, X, y, animate=film)",
    "ma.plot.decision_boundary(net, X, y, animate=film).show()",
    "%matplotlib inline\nma.plot.filters(net)",
]


def test_a_notebook_shows_each_figure_once(tmp_path, monkeypatch):
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in NOTEBOOK])
    NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    outputs = [cell.outputs for cell in notebook.cells]
    for output in outputs[1:]:
        assert [one.output_type for one in output] in (["execute_result"], ["display_data"])
    assert ["image/png" in output[0].data for output in outputs[1:]] == [True] * 5 + [False, False, True]
    for output in outputs[6:8]:
        assert output[0].data["text/html"].count("data:image/png;base64,") == 3


@pytest.mark.parametrize("kind", [np.asarray, np.ndarray.tolist, lambda a: ma.nn.Parameter(np.asarray(a, np.float32))])
def test_tensors_and_lists_stand_for_arrays(kind):
    ones, labels = np.ones((4, 2)), np.array([0.0, 1.0, 1.0, 0.0])
    whole = labels if isinstance(kind(ones), ma.Tensor) else labels.astype(int)
    grid = kind(np.outer([-1.0, 0.0, 1.0], [1.0, 1.0, 1.0]))
    panel = plot.Panel("a", grid, points=kind(ones), labels=kind(whole))
    figures = [
        plot.filter_grid(kind(np.ones((4, 1, 3, 3)))),
        plot.filter_grid(kind(ones)),
        plot.histograms({"a": (kind(np.arange(9.0)), {})}),
        plot.norm_dots(["a", "b"], {"adder": kind(ones)}, {"adder": kind(np.ones(1))}),
        plot.feature_scatter({"a": (kind(ones), kind(whole))}),
        plot.variance_panels([1, 9], {"a": ({"b": (kind(np.ones(2)), kind(np.ones(2)))}, {"b: c": kind(np.ones(2))})}),
        plot.decision_figure([("a net", [panel])], reach=1.0),
        plot.accuracy_strips([("a", kind(np.array([0.5, 1.0])))], 0.9),
        plot.lines_beside(
            kind(np.arange(2.0)), [kind(np.ones(2))] * 2, kind(np.array([99.0, 99.4])), "t", ("a", "b"), "η"
        ),
        plot.points_beside(["a"], [kind(np.ones(2))], [1.0], "t", ("a", "b")),
        plot.curves_beside(["a"], [kind(ones)], [kind(np.ones(2))], [1.0], "t", ("a", "b")),
        plot.shares_by_epoch({"a": [{"b": kind(np.array(0.5))}] * 2}, "closed"),
    ]
    for figure in figures:
        assert isinstance(figure, matplotlib.figure.Figure)
        assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("wrong", [np.array(["a"]), np.array([1j]), [[1.0], [1.0, 2.0]], None])
def test_what_holds_no_numbers_is_named(wrong):
    with pytest.raises((TypeError, ValueError), match="filters must"):
        plot.filter_grid(wrong)
    with pytest.raises((TypeError, ValueError), match="weights must"):
        plot.histograms({"weights": (wrong, {})})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_filters_that_are_not_finite_are_named(value):
    with pytest.raises(ValueError, match="NaN or Inf, 1 of 6"):
        plot.filter_grid(np.array([[1.0, 2.0, value], [1.0, 2.0, 3.0]]))
