"""The picture of a graph holds what backward will walk; boxes and arrows keep out of each other's way."""

from __future__ import annotations

import os
import shutil
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import models, nn
from minadder.plot.boxes import COLOURS, STRAIGHT, Box, box_figure
from minadder.plot.layers import GAP, STEP, by_graphviz, by_layers, heights

DOT = shutil.which("dot")


@pytest.fixture(autouse=True)
def no_graphviz(monkeypatch, tmp_path):
    """Graphviz is not installed, unless a test installs it."""
    monkeypatch.setenv("PATH", str(tmp_path))


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def kinds(figure):
    """Return the kind of each box by its colour."""
    from matplotlib.colors import to_hex

    names = {colour.lower(): kind for kind, colour in COLOURS.items()}
    patches = [patch for patch in figure.axes[0].patches if type(patch).__name__ == "FancyBboxPatch"]
    return [names[to_hex(patch.get_facecolor())] for patch in patches]


def arrows(figure):
    """Return the pairs of texts that arrows join, found by where they begin and end."""
    axes = figure.axes[0]
    boxes = [patch.get_bbox() for patch in axes.patches if type(patch).__name__ == "FancyBboxPatch"]
    paths = [patch._path_original.vertices for patch in axes.patches if type(patch).__name__ == "FancyArrowPatch"]

    def at(point):
        distances = [
            max(box.x0 - point[0], point[0] - box.x1, box.y0 - point[1], point[1] - box.y1, 0) for box in boxes
        ]
        return texts(figure)[int(np.argmin(distances))].split("\n")[0]

    return sorted((at(path[0]), at(path[-1])) for path in paths)


def test_operations_leaves_and_shapes_are_drawn():
    x = ma.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    w = nn.Parameter(np.ones((3, 2), np.float32))
    figure = ma.plot.graph((x @ w + 1.0).sum())
    found = dict(zip(texts(figure), kinds(figure), strict=True))
    assert found == {
        "Sum\n()": "result",
        "Add\n(1, 2)": "operation",
        "MatMul\n(1, 2)": "operation",
        "no gradient\n()": "constant",
        "tensor\n(1, 3)": "input",
        "parameter\n(3, 2)": "parameter",
    }
    assert arrows(figure) == [
        ("Add", "Sum"),
        ("MatMul", "Add"),
        ("no gradient", "Add"),
        ("parameter", "MatMul"),
        ("tensor", "MatMul"),
    ]


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_and_relu_are_both_visible(training):
    net = nn.Sequential(
        {"fc": nn.AdderLinear(2, 3), "bn": nn.BatchNorm1d(3), "act": nn.ReLU(), "bn2": nn.BatchNorm1d(3)}
    )
    loss = nn.CrossEntropyLoss()(net.train(training)(np.ones((4, 2), np.float32)), np.zeros(4, int))
    shown = [text.split("\n")[0] for text in texts(ma.plot.graph(loss, net, "a title"))]
    operations = ["AdderLinear", "BatchNorm", "BatchNorm + ReLU", "CrossEntropy"]
    parameters = ["bn.bias", "bn.weight", "bn2.bias", "bn2.weight", "fc.weight"]
    assert sorted(shown) == sorted([*operations, *parameters, "no gradient"])
    # a ReLU that runs on its own has a box of its own
    apart = nn.ReLU()(net.bn(net.fc(np.ones((4, 2), np.float32)))).sum()
    assert {"ReLU", "BatchNorm"} <= {text.split("\n")[0] for text in texts(ma.plot.graph(apart))}


def test_what_is_used_twice_has_one_box_and_two_arrows():
    a = ma.tensor([3.0], requires_grad=True)
    b = a + a
    figure = ma.plot.graph(b * b)
    assert arrows(figure) == [("Add", "Multiply")] * 2 + [("tensor", "Add")] * 2
    assert len(texts(figure)) == 3
    paths = [patch._path_original.vertices for patch in figure.axes[0].patches[:4]]
    assert len({path.tobytes() for path in paths}) == 4, "each arrow has a way of its own"


def test_drawing_leaves_the_graph_to_backward():
    net = models.mlp((2, 4, 2))
    loss = net(np.ones((4, 2), np.float32)).sum()
    ma.plot.graph(loss, net)
    loss.backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        ma.plot.graph(loss, net)


def test_a_graph_freed_in_part_is_no_graph():
    x = ma.tensor([3.0], requires_grad=True)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match="freed"):
        ma.plot.graph(y + 1.0)


def test_what_has_no_graph_is_named():
    with ma.no_grad():
        unrecorded = ma.tensor([1.0], requires_grad=True) * 2
    for tensor in (unrecorded, ma.tensor([1.0], requires_grad=True), ma.tensor([[1.0]])):
        with pytest.raises(ValueError, match=r"shape \(1,.*\) has no graph"):
            ma.plot.graph(tensor)
    for wrong in (np.ones(3), 3.0, nn.Linear(2, 3)):
        with pytest.raises(TypeError, match="tensor must be a Tensor"):
            ma.plot.graph(wrong)
    with pytest.raises(TypeError, match="net must be"):
        ma.plot.graph(ma.tensor([1.0], requires_grad=True) * 2, "net")


def test_a_graph_that_nobody_can_read_is_counted():
    x = ma.tensor([1.0], requires_grad=True)
    y = x
    for _ in range(150):
        y = y * 1.0
    with pytest.raises(ValueError, match=r"301 boxes.*300.*a part"):
        ma.plot.graph(y)


def test_all_of_a_resnet_is_drawn():
    net = models.resnet20("adder").eval()
    loss = net(np.ones((1, 3, 32, 32), np.float32)).sum()
    shown = [text.split("\n")[0] for text in texts(ma.plot.graph(loss, net))]
    assert {name for name, _ in net.named_parameters()} <= set(shown)


def test_foreign_names_are_shown_as_they_are():
    net = nn.Sequential({'a"]; b [label="$x$': nn.Linear(2, 1, bias=False)})
    figure = ma.plot.graph(net(np.ones((1, 2), np.float32)), net)
    assert 'a"]; b [label="\\$x\\$.weight\n(1, 2)' in texts(figure)
    assert figure._repr_png_()


SIZES = st.tuples(st.floats(0.3, 2.0), st.floats(0.2, 0.6))


@st.composite
def drawings(draw):
    """Return sizes of boxes and arrows between them that form no circle."""
    count = draw(st.integers(1, 12))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] != pair[1])
    some = draw(st.lists(pairs, max_size=20))
    order = draw(st.permutations(range(count)))
    joined = [(order[max(pair)], order[min(pair)]) for pair in some]
    return np.array(draw(st.lists(SIZES, min_size=count, max_size=count))), joined


def check(sizes, joined, layout, tolerance):
    """Check that boxes are apart, and that arrows lead down from edge to edge."""
    for i, (one, size) in enumerate(zip(layout.centres, sizes, strict=True)):
        for other, its in zip(layout.centres[:i], sizes[:i], strict=True):
            assert (np.abs(one - other) >= (size + its) / 2 - tolerance).any()
    for (begin, end), points in zip(joined, layout.curves, strict=True):
        assert len(points) % 3 == 1
        assert layout.centres[begin][1] > layout.centres[end][1]
        for box, point in ((begin, points[0]), (end, points[-1])):
            beyond = np.abs(point - layout.centres[box]) - sizes[box] / 2
            assert (beyond <= tolerance).all(), "the arrow does not touch its box"
            assert (beyond >= -tolerance).any(), "the arrow goes into its box"


@given(drawings())
def test_layers_keep_boxes_apart_and_arrows_downwards(drawing):
    sizes, joined = drawing
    layout = by_layers(sizes, joined, [1] * len(joined))
    check(sizes, joined, layout, 1e-9)
    ranks = np.array(heights(len(sizes), joined))
    np.testing.assert_allclose(layout.centres[:, 1], STEP * ranks)
    for box, rank in enumerate(ranks):
        assert rank == max((ranks[end] + 1 for begin, end in joined if begin == box), default=0)


def test_a_long_arrow_passes_beside_the_boxes_between():
    sizes = np.full((4, 2), (1.0, 0.4))
    layout = by_layers(sizes, [(0, 1), (1, 2), (2, 3), (0, 3)], [STRAIGHT] * 4)
    passing = layout.curves[3][[3, 6]]
    for point, box in zip(passing, (1, 2), strict=True):
        assert point[1] == layout.centres[box][1]
        assert abs(point[0] - layout.centres[box][0]) >= 0.5 + GAP - 1e-9


FAILING = {
    "fails": "#!/bin/sh\necho nonsense >&2; exit 3\n",
    "says nothing": "#!/bin/sh\ncat >/dev/null\n",
    "lacks an arrow": "#!/bin/sh\ncat >/dev/null\necho node 0 1 1 1 1\necho node 1 1 2 1 1\n",
}


def install(folder, script):
    program = folder / "dot"
    program.write_text(script.replace("cat ", f"{shutil.which('cat', path=os.defpath)} "))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("script", FAILING.values(), ids=FAILING)
def test_where_graphviz_fails_a_warning_says_so_and_the_graph_is_drawn(tmp_path, script):
    install(tmp_path, script)
    x = ma.tensor([3.0], requires_grad=True)
    with pytest.warns(UserWarning, match="dot failed"):
        figure = ma.plot.graph(x * x)
    assert arrows(figure) == [("tensor", "Multiply")] * 2


def test_graphviz_is_asked_where_it_is_installed(tmp_path):
    heard = tmp_path / "heard"
    answer = "graph 1 3 3\nnode 0 1.5 0.5 1 0.4 x\nnode 1 2.5 2.5 1 0.4 x\n"
    answer += "edge 1 0 4 2.5 2.3 2 2 \\\n1.7 1 1.5 0.7 solid black\nstop\n"
    install(tmp_path, f"#!/bin/sh\ncat >{heard}\ncat <<'END'\n{answer}END\n")
    figure = box_figure([Box("result", ("b",)), Box("input", ('a"; x [',))], [(1, 0)])
    assert [text.get_position() for text in figure.axes[0].texts] == [(1.5, 0.5), (2.5, 2.5)]
    assert arrows(figure) == [('a"; x [', "b")]
    assert "1 -> 0" in heard.read_text()
    assert "x [" not in heard.read_text(), "it is given numbers alone"


@pytest.mark.skipif(DOT is None, reason="graphviz is not installed")
@given(drawings())
def test_graphviz_itself_keeps_boxes_apart(drawing):
    sizes, joined = drawing
    check(sizes, joined, by_graphviz(DOT, sizes, joined, [1] * len(joined)), 0.1)
