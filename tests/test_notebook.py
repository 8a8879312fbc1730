"""A learner's notebook, run as one: figures show themselves, a training is one line, nothing else is told."""

from __future__ import annotations

import os
import sys
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = {
    "import": "import numpy as np\nimport minadder as ma",
    "points": (
        "rng = np.random.default_rng(0)\n"
        "X = rng.standard_normal((200, 2))\n"
        "y = (X[:, 0] * X[:, 1] > 0).astype(int)\n"
        "ma.manual_seed(0)"
    ),
    "net": "net = ma.models.mlp((2, 16, 2), layer='adder')\nma.summary(net, (2,))",
    "train": "history = ma.fit(net, (X, y), test=0.2, epochs=12)",
    "curves": "ma.plot.learning_curves(history)",
    "boundary": "ma.plot.decision_boundary(net, X, y)",
    "graph": "ma.plot.graph(ma.ops.cross_entropy(net(ma.tensor(X[:8], dtype='float32')), y[:8]), net)",
    "matrix": "ma.plot.confusion_matrix(net, (X, y))",
    "filters": "ma.plot.filters(net).show()",
    "predict": "ma.predict(net, X[:3]).tolist(), ma.evaluate(net, (X, y)).accuracy",
    "silent": "silent = ma.fit(net, (X, y), epochs=1, verbose=False)",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Return the outputs of each cell."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS.values()])
    with pytest.MonkeyPatch.context() as patch:
        for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp("notebook")))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}


def test_nothing_is_told_on_a_stream(outputs: dict[str, list[Any]]) -> None:
    assert [(name, one) for name, cell in outputs.items() for one in cell if one.output_type == "stream"] == []


@pytest.mark.parametrize("name", ["curves", "boundary", "graph", "matrix", "filters"])
def test_figures_show_themselves(outputs: dict[str, list[Any]], name: str) -> None:
    assert len(outputs[name]) == 1
    assert "image/png" in outputs[name][0]["data"]


def test_a_training_is_one_line_and_a_silent_one_is_none(outputs: dict[str, list[Any]]) -> None:
    (line,) = outputs["train"]
    assert line["data"]["text/plain"].startswith("epoch 12/12: loss ")
    assert "test accuracy" in line["data"]["text/plain"]
    assert outputs["silent"] == []


def test_a_summary_is_a_table_and_answers_are_seen(outputs: dict[str, list[Any]]) -> None:
    assert "<table" in outputs["net"][-1]["data"]["text/html"]
    assert outputs["predict"][0]["data"]["text/plain"].startswith("([")
