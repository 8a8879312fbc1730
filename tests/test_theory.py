"""The command that builds the nets of the proofs: its numbers, its figures, what it tells."""

from __future__ import annotations

import json

import numpy as np
import pytest

from minadder import cli
from minadder.experiments import theory
from minadder.plot import theory as plot_theory


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("theory")


def quick(part, out):
    assert cli.main(["theory", part, "--quick", "--out", str(out)]) == 0
    assert (out / f"{part}.png").read_bytes().startswith(b"\x89PNG")
    assert (out / f"{part}.txt").read_text().startswith(f"command: minadder theory {part} --quick\ndate: 2")
    return json.loads((out / f"{part}.json").read_text())


def test_lemma2(folder, capsys):
    trials = quick("lemma2", folder)["trials"]
    for trial in trials:
        assert trial["largest_difference"] <= trial["bound_on_rounding"] < 1e-9
        assert trial["largest_difference_as_printed"] > trial["largest_difference_sign_mended"] > 0.01
    text = capsys.readouterr().out
    assert f"{len(trials)} of {len(trials)} nets are within the bound" in text
    assert max(map(len, text.splitlines()[:-1])) <= 120


def test_approximation(folder, capsys):
    content = quick("approximation", folder)
    assert "d = 2, 64 of 64 tents: 2 draws measured" in capsys.readouterr().err
    for line in content["lines"]:
        assert line["net_from_formula"] < 1e-10
        assert line["rms"][-1] < line["rms"][0]
        assert line["fitted"][-1] < line["rms"][-1]
    assert -1.3 < content["variance"]["exponent"] < -0.7


def test_theorem6(folder):
    content = quick("theorem6", folder)
    for net in content["nets"]:
        assert net["width"] <= net["width_allowed"]
        assert net["largest_difference"] < 1e-9
    for layer in content["random_layers"]:
        assert layer["hidden_units"] == 2 * layer["outputs"] + 2
        assert layer["largest_difference"] < 1e-11
    errors = [net["l1"] for net in content["nets"] if net["dimension"] == 1]
    assert errors == sorted(errors, reverse=True)


def test_propositions(folder):
    content = quick("propositions", folder)
    for run in content["runs"]:
        last = max(run["distances"][-2:])
        if run["weight_grad"] == "sign":
            assert last > 0.01 * run["rate"]
        elif run["rate"] in (0.5, 1.5):
            assert last < 1e-12
        elif run["rate"] > 2:
            assert last > run["distances"][0]


def test_a_rule_and_a_rate_have_one_colour_in_all_panels():
    drawn = {}
    for axes in plot_theory.propositions_figure(theory.descents(True)).axes:
        for line in axes.lines:
            drawn.setdefault(line.get_label(), set()).add(line.get_color())
    assert len(drawn) == 7
    assert all(len(colours) == 1 for colours in drawn.values())


def test_the_same_seed_gives_the_same_numbers():
    assert theory.lemma2(True, 3) == theory.lemma2(True, 3)
    assert theory.lemma2(True, 3) != theory.lemma2(True, 4)


def test_the_lipschitz_constant_of_the_wave():
    rng = np.random.default_rng(0)
    for d in (1, 2):
        one = rng.uniform(-1, 1, (20_000, d))
        other = one + rng.normal(0, 1e-3, one.shape)
        ratio = np.abs(theory.wave(one) - theory.wave(other)) / np.abs(one - other).sum(axis=1)
        assert 0.9 * theory.LIPSCHITZ < ratio.max() <= theory.LIPSCHITZ


def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["theory", "lemma2", "--quick", "--out", str(tmp_path / "file" / "a")]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err
