"""The toy experiments: what is trained, what is kept, what is told, and that an interrupted run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minadder import cli, nn, optim, plot
from minadder.commands import toy as command
from minadder.experiments import toy, toy_report
from minadder.nn.convert import KINDS

SMALL = toy.Job("ball", "adder", hidden=1, seed=0, iterations=150, points=200)


@pytest.fixture(scope="module")
def small():
    return toy.train(SMALL)


def without_seconds(result):
    return replace(result, seconds=0.0)


def test_the_same_job_gives_the_same_numbers_and_another_seed_does_not(small):
    assert without_seconds(toy.train(SMALL)) == without_seconds(small)
    other = toy.train(replace(SMALL, seed=1))
    assert other.state != small.state


def test_a_result_comes_back_from_json_with_all_digits(small):
    again = toy.Result.from_json(small.to_json())
    assert again == small
    points, labels = toy.training_points(SMALL)
    assert toy.accuracy(again.net(), points, labels) == small.accuracy
    assert again.solved == (small.accuracy >= 0.99)


def test_what_is_no_result_is_refused(small):
    content = json.loads(small.to_json())
    changes = ({"state": {}}, {"state": {"0.weight": 10**400}}, {"accuracy": "0.5"}, {"fresh_accuracy": 2}, {"job": []})
    texts = ("", "[]", "{}", "[" * 100_000, '{"job": ' + "9" * 5000 + "}", small.to_json()[:-40])
    for text in (*texts, *(json.dumps({**content, **change}) for change in changes)):
        with pytest.raises(ValueError, match="no result of a toy experiment"):
            toy.Result.from_json(text)


def test_what_a_recipe_of_the_same_name_made_is_refused(small, monkeypatch):
    text = small.to_json()
    content = json.loads(text)
    del content["recipe"]  # as it was kept when the points were divided by 10
    with pytest.raises(ValueError, match=r"no result of a toy experiment \(KeyError\('recipe'\)\)"):
        toy.Result.from_json(json.dumps(content))
    monkeypatch.setitem(toy.RECIPES, "papers", replace(toy.RECIPES["papers"], eta=0.1))
    with pytest.raises(ValueError, match=r"recipe 'papers', .*'eta': 0.1.* but by .*'eta': 0.2"):
        toy.Result.from_json(text)


@pytest.mark.parametrize("kind", ["conv", "adder"])
@pytest.mark.parametrize("task", toy.TASKS)
def test_every_net_learns(task, kind):
    job = toy.Job(task, kind, hidden=toy.TASKS[task].hidden[-1], seed=0, iterations=400, points=300)
    labels = toy.training_points(job)[1]
    result = toy.train(job)
    assert result.accuracy > max(labels.mean(), 1 - labels.mean()) + 0.03


@pytest.mark.parametrize(("recipe", "scale"), [("papers", 1), ("best-of-10", 10)])
def test_the_points_enter_as_they_are_drawn_unless_the_recipe_says_so_and_the_fresh_ones_are_others(recipe, scale):
    job = replace(SMALL, recipe=recipe)
    points, labels = toy.training_points(job)
    dataset = toy.TASKS["ball"].points(200, 0)
    np.testing.assert_array_equal(points, dataset.inputs / np.float32(scale))
    np.testing.assert_array_equal(labels[:, 0], dataset.labels)
    training = toy.descent([job], toy.first_nets(job, 1))
    np.testing.assert_array_equal(training.points.numpy()[0, :, 0], dataset.inputs.T / np.float32(scale))
    assert ("points / 10" in toy.RECIPES[recipe].text) == (scale == 10)
    assert ("as they are drawn" in toy.RECIPES[recipe].assumed(200)) == (scale == 1)
    assert ("divided by 10" in toy.RECIPES[recipe].assumed(200)) == (scale == 10)
    assert not np.array_equal(toy.fresh_points(SMALL).inputs, dataset.inputs)


@pytest.mark.parametrize(("recipe", "scale"), [("papers", 1), ("best-of-10", 10)])
def test_a_field_is_the_nets_logits_on_a_grid(small, recipe, scale):
    result = replace(small, job=replace(small.job, recipe=recipe))
    grid = toy.field(result, 20.0, side=5)
    wanted = toy.logits(small.net(), np.array([[20.0, -10.0]], np.float32) / np.float32(scale))[0]
    assert grid[1, 4] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("recipe", toy.RECIPES)
def test_a_picture_has_the_axes_of_the_points(recipe):
    """A net that says yes where x > 10 shows its line there, among points of a standard deviation of 15."""
    job = toy.Job("two-balls", "conv", 1, seed=0, recipe=recipe)
    scale = toy.RECIPES[recipe].scale
    state = {"fc1.weight": [[1.0, 0.0]], "fc1.bias": [100 / scale], "fc2.weight": [[1.0]], "fc2.bias": [-110 / scale]}
    points = toy.TASKS["two-balls"].points(1000, 0).inputs
    reach = toy.reach(points)
    assert 30 < reach < 60  # all but a hundredth of the points
    grid = toy.field(toy.Result(job, 1.0, 1.0, 0.0, 0.0, state), reach)
    figure = plot.decision_figure([("x > 10", [plot.Panel("a", grid, points, points[:, 0] > 10)])], reach)
    boundary = figure.axes[1].collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(boundary[:, 0], 10.0, rtol=1e-4)
    assert figure.axes[1].get_xlim() == figure.axes[0].get_xlim() == (-reach, reach)


def test_a_loss_that_is_not_finite_is_told(monkeypatch):
    monkeypatch.setitem(toy.RECIPES, "papers", replace(toy.RECIPES["papers"], lr=1e30))
    with (
        np.errstate(all="ignore"),
        pytest.raises(RuntimeError, match=r"conv-n1-seed0 is (nan|inf) after 150 iterations"),
    ):
        toy.train(replace(SMALL, kind="conv"))


def test_of_ten_starts_the_one_of_the_lowest_loss_counts():
    job = replace(SMALL, recipe="best-of-10")
    alone = [toy.descent([job], [net]) for net in toy.first_nets(job, 10)]
    losses = []
    for descent in alone:
        descent.go_on(150)
        losses += descent.losses()
    assert len(set(losses)) == 10
    best = alone[int(np.argmin(losses))].net.state_dict()
    result = toy.train(job)
    assert result.loss == min(losses)
    for name, array in result.net().state_dict().items():
        np.testing.assert_array_equal(array.ravel(), best[name].ravel())


def test_a_start_whose_loss_is_nan_is_not_the_best(monkeypatch):
    job = replace(SMALL, recipe="best-of-10")
    monkeypatch.setattr(toy.side_by_side.Descent, "losses", lambda descent: [np.nan, 2.0, 1.0, *[3.0] * 7])
    assert toy.train(job).loss == 1.0


@pytest.mark.parametrize("recipe", toy.RECIPES)
@pytest.mark.parametrize("task", toy.TASKS)
def test_the_table_of_each_recipe_fits_the_terminal(task, recipe):
    result = toy.Result(toy.Job(task, "conv", 1, 0, recipe), 1.0, 1.0, 0.1, 1.0, {})
    found = toy_report.lines(toy_report.rows([result]))  # a table that is too wide is an error
    assert any(toy.RECIPES[recipe].text in line for line in found)


def plainly_trained(job):
    """Return a job's net, trained as anybody would train a single one, and the loss of its last iteration."""
    (net,) = toy.first_nets(job, 1)
    points, labels = toy.training_points(job)
    recipe = toy.RECIPES[job.recipe]
    rule = optim.AdaptiveLR(recipe.eta)
    optimizer = optim.SGD(
        net.parameters(),
        lr=recipe.lr,
        momentum=0.9,
        nesterov=True,
        weight_decay=recipe.weight_decay,
        adder_lr=rule,
    )
    loss = nn.BCEWithLogitsLoss()
    for done in range(job.iterations):
        optim.Cosine().set_lr(optimizer, done / job.iterations)
        optimizer.zero_grad()
        value = loss(net(points), labels)
        value.backward()
        optimizer.step()
    return net, value.item()


@pytest.mark.parametrize("kind", KINDS)
def test_nets_side_by_side_become_what_each_becomes_alone(kind):
    jobs = [toy.Job("two-balls", kind, 3, seed, iterations=12, points=150) for seed in (4, 0, 7)]
    for job, result in zip(jobs, toy.train_together(jobs), strict=True):
        net, loss = plainly_trained(job)
        assert result.loss == pytest.approx(loss, rel=1e-4)
        state = result.net().state_dict()
        for name, array in net.state_dict().items():
            np.testing.assert_allclose(state[name], array, rtol=2e-3, atol=2e-4, err_msg=f"{job.name}: {name}")


@settings(max_examples=8, deadline=None)
@given(
    kind=st.sampled_from(tuple(KINDS)),
    hidden=st.integers(1, 6),
    seeds=st.lists(st.integers(0, 2**32 - 2), min_size=2, max_size=6, unique=True),
    recipe=st.sampled_from(tuple(toy.RECIPES)),
    points=st.integers(2, 1200),
    data=st.data(),
)
def test_a_net_gets_the_same_bits_in_any_company(kind, hidden, seeds, recipe, points, data):
    jobs = [toy.Job("xor", kind, hidden, seed, recipe, iterations=11, points=points) for seed in seeds]
    place = data.draw(st.integers(0, len(jobs) - 1))
    together = toy.train_together(jobs)
    assert [result.job for result in together] == jobs
    assert without_seconds(together[place]) == without_seconds(toy.train(jobs[place]))


def test_only_jobs_that_differ_in_the_seed_alone_are_trained_together():
    jobs = [replace(SMALL, seed=seed, hidden=n) for seed in range(13) for n in (1, 2)]
    lists = toy.together(jobs)
    assert sorted(map(len, lists)) == [3, 3, 10, 10]
    assert sorted((job for same in lists for job in same), key=jobs.index) == jobs
    assert all(len({job.hidden for job in same}) == 1 for same in lists)
    with pytest.raises(ValueError, match="must differ in the seed alone"):
        toy.train_together(jobs)
    with pytest.raises(ValueError, match="must differ in the seed alone"):
        toy.train_together([])


def fake(kind, hidden, seed, accuracy, small):
    return replace(small, job=replace(SMALL, kind=kind, hidden=hidden, seed=seed), accuracy=accuracy)


def test_rates_are_told_beside_the_papers_pictures(small):
    accuracies = {("conv", 1): (0.8, 0.995, 0.7), ("adder", 1): (0.992, 1.0, 0.5), ("adder", 2): (0.98, 0.9, 1.0)}
    results = [fake(*net, seed, a, small) for net, found in accuracies.items() for seed, a in enumerate(found)]
    rows = toy_report.rows(results[::-1])
    by_net = {(row.kind, row.hidden): row for row in rows}
    assert {net: row.solved for net, row in by_net.items()} == {("conv", 1): 1, ("adder", 1): 2, ("adder", 2): 1}
    assert {net: row.agreeing for net, row in by_net.items()} == {("conv", 1): 2, ("adder", 1): 2, ("adder", 2): 1}
    assert by_net["adder", 1].middle.accuracy == 0.992
    assert by_net["adder", 1].accuracies == [0.992, 1.0, 0.5]
    text = "\n".join(toy_report.lines(rows))
    assert 'adder, n = 2: the paper\'s "right" does not hold as a rule: 1 of 3 seeds.' in text
    assert 'adder, n = 1: the paper\'s "right" holds as a rule, not always: 2 of 3 seeds.' in text


def test_the_median_of_an_even_number_is_drawn_from_the_worse_half(small):
    (row,) = toy_report.rows([fake("adder", 1, seed, a, small) for seed, a in enumerate((0.9, 1.0, 0.8, 0.95))])
    assert row.middle.accuracy == 0.9
    assert row.content()["median"] == pytest.approx(0.925)


def test_a_percentage_is_never_rounded_up_to_the_bar():
    assert [toy_report.percent(share) for share in (1.0, 0.9999, 0.98999, 0.99)] == ["100.0", "99.9", "98.9", "99.0"]


def test_the_papers_words_agree_with_ranges():
    assert toy.SOLVES.agrees(0.99)
    assert toy.SOLVES.agrees(1.0)
    assert not toy.SOLVES.agrees(0.9899)
    assert toy.FAILS.agrees(0.9899)
    assert not toy.FAILS.agrees(0.99)
    assert not toy.MOST.agrees(0.94)


def quick(out, *arguments):
    return ["toy", "ball", "--quick", "--out", str(out), *map(str, arguments)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the folder of a quick run of two seeds."""
    out = tmp_path_factory.mktemp("toy") / "a"
    assert cli.main(quick(out, "--seeds", 2)) == 0
    return out


def numbers(out):
    return json.loads((out / "toy.json").read_text())


def test_a_run_leaves_figures_table_numbers_and_nets(finished):
    for name in ("decision.png", "accuracies.png"):
        assert (finished / name).read_bytes().startswith(b"\x89PNG")
    head, table = (finished / "toy.txt").read_text().split("\n\n", 1)
    assert head.startswith("command: minadder toy ball --quick --seeds 2\ndate: 2")
    assert "unit ball" in table
    assumed = "300 points, as they are drawn; all of them in each iteration (full batch); η = 0.2"
    assert assumed in table.replace("\n", " ")
    assert numbers(finished)["settings"]["eta"] == 0.2
    nets = numbers(finished)["nets"]
    assert [(net["kind"], net["hidden"]) for net in nets] == [(k, n) for k in ("conv", "adder") for n in (1, 2, 3)]
    assert all(net["seeds"] == [0, 1] for net in nets)
    assert len(list((finished / "nets").iterdir())) == 12


def test_what_is_there_is_not_trained_again(finished, monkeypatch):
    before = numbers(finished)
    monkeypatch.setattr(toy, "train_together", None)
    assert cli.main(quick(finished, "--seeds", 2)) == 0
    assert numbers(finished) == before


def test_a_net_that_was_damaged_is_named_and_trained_again(finished, tmp_path, capsys):
    out = tmp_path / "b"
    (out / "nets").mkdir(parents=True)
    for file in (finished / "nets").iterdir():
        (out / "nets" / file.name).write_bytes(file.read_bytes())
    broken = out / "nets" / "adder-n2-seed1.json"
    broken.write_bytes(broken.read_bytes()[:100])
    assert cli.main(quick(out, "--seeds", 2)) == 0
    assert f"{broken}: no result of a toy experiment" in capsys.readouterr().err
    assert numbers(out) == numbers(finished)


def test_nets_of_other_settings_are_not_mixed(finished, capsys):
    assert cli.main(["toy", "ball", "--out", str(finished)]) == 1
    error = capsys.readouterr().err
    assert "is of other settings" in error
    assert "Choose another --out" in error


def test_a_killed_run_goes_on_to_the_same_numbers(finished, tmp_path):
    out = tmp_path / "c"
    arguments = [sys.executable, "-m", "minadder", *quick(out, "--seeds", 2, "--processes", 1)]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
    end = time.monotonic() + 120
    while len(list(out.glob("nets/*.json"))) < 3:  # two nets come at a time
        assert process.poll() is None, "the process ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(list(out.glob("nets/*.json")))
    assert 3 <= kept < 12
    again = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr
    assert f"{kept} of 12 nets are there already" in again.stderr
    assert numbers(out) == numbers(finished)


def test_kinds_of_layers_can_be_chosen(tmp_path):
    assert cli.main([*quick(tmp_path / "d"), "--kinds", "binary", "binary"]) == 0
    assert [(net["kind"], net["paper_says"]) for net in numbers(tmp_path / "d")["nets"]] == [("binary", None)] * 3


def test_a_panel_checks_its_shapes():
    points, labels = np.zeros((3, 2)), np.zeros(3)
    with pytest.raises(ValueError, match="must be a square grid"):
        plot.Panel("a", np.zeros((2, 3)), points, labels)
    with pytest.raises(ValueError, match=r"not \(3, 2\) and \(2,\)"):
        plot.Panel("a", np.zeros((2, 2)), points, labels[:2])


def test_a_place_is_in_the_folder(tmp_path):
    assert command.place(SMALL, tmp_path) == tmp_path / "adder-n1-seed0.json"
