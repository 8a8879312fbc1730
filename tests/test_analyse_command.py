"""The command `minadder analyse`, run as a user runs it, and its figures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minadder as ma
from minadder import analysis, cli, models, plot
from minadder.commands.analysed_nets import load


def analyse(out: Path, part: str, *arguments: Any) -> int:
    return cli.main(["analyse", part, *map(str, arguments), "--out", str(out), "--quick"])


def numbers(out: Path, part: str) -> Any:
    return json.loads((out / f"{part}.json").read_text())


def assert_figures(out: Path, *names: str) -> None:
    assert {file.stem for file in out.glob("*.png")} == set(names)
    for file in out.glob("*.png"):
        assert file.read_bytes().startswith(b"\x89PNG")


def test_variance_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert analyse(tmp_path, "variance") == 0
    assert_figures(tmp_path, "variance")
    content = numbers(tmp_path, "variance")
    for one in content["variances"]:
        arguments = one["entries"], one["input_variance"], one["filter_variance"]
        assert one["adder_law"] == analysis.adder_variance(*arguments)
        assert one["conv_law"] == analysis.conv_variance(*arguments)
        assert one["adder"]["variance"] == pytest.approx(one["adder_law"], abs=5 * one["adder"]["error"])
    text, progress = capsys.readouterr()
    assert "Var F = 0.001, K = 81 of 81: measured" in progress
    assert max(map(len, text.splitlines()[:-1])) <= 120
    assert f"variance.txt, variance.json and its figure in {tmp_path}" in text


def test_gradients_of_adders_are_the_smaller_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert analyse(tmp_path, "gradients") == 0
    assert_figures(tmp_path, "gradients")
    content = numbers(tmp_path, "gradients")
    assert content["seeds"] == [0, 1]
    for adder, conv in zip(content["norms"]["AdderNet"], content["norms"]["CNN"], strict=True):
        assert list(adder) == list(conv)
        for layer in list(adder)[:3]:
            assert adder[layer] < conv[layer] / 10
    assert "0.4646" in capsys.readouterr().out


@pytest.mark.parametrize("part", ["filters", "weights"])
def test_without_files_both_nets_are_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str) -> None:
    assert analyse(tmp_path, part) == 0
    content = numbers(tmp_path, part)
    assert list(content) == ["AdderNet", "CNN"]
    assert "AdderNet: test accuracy" in capsys.readouterr().out
    if part == "filters":
        assert_figures(tmp_path, "filters-AdderNet", "filters-CNN")
        assert content["CNN"]["shape"] == [6, 1, 5, 5]
    else:
        assert_figures(tmp_path, "weights")
        assert content["AdderNet"]["weights"] == 48_000


def test_features_are_those_of_the_test_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minadder.commands.analysed_nets.QUICK_EXAMPLES", 64)
    assert analyse(tmp_path, "features") == 0
    assert_figures(tmp_path, "features")
    labels = ma.data.load("digits")[1].labels[:64]
    for name, found in numbers(tmp_path, "features").items():
        assert name in ("AdderNet", "CNN")
        assert found["labels"] == labels.tolist()
        told = analysis.separation(np.array(found["features"]), labels)
        assert (told.by_centre, told.by_direction) == (found["by_centre"], found["by_direction"])
    assert "nearest direction" in capsys.readouterr().out


def test_closed_channels_are_counted_behind_each_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert analyse(tmp_path, "channels") == 0
    assert_figures(tmp_path, "channels")
    content = numbers(tmp_path, "channels")
    assert list(content) == ["weight decay 0.0005", "weight decay 0.0003"]
    for found in content.values():
        assert len(found["closed"]) == 2
        for shares in found["closed"]:
            assert list(shares) == ["relu1", "relu2", "relu3", "relu4"]
            assert all(0 <= share <= 1 for share in shares.values())
    assert "channels closed to 359 test images, sign gradients, LeNet-5-BN" in capsys.readouterr().out


def test_the_nets_whose_channels_are_counted_have_sign_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fit(net: Any, *_: Any) -> float:
        seen.append((net, *_[4:6]))
        _[-1][0].shares.append({"relu1": 0.25})
        return 0.5

    monkeypatch.setattr("minadder.commands.analyse.fit", fit)
    assert analyse(tmp_path, "channels") == 0
    assert [told[1:] for told in seen] == [(0.005, 5e-4), (0.005, 3e-4)]
    for net, *_ in seen:
        layers = [module for module in net.modules() if hasattr(module, "weight_grad")]
        assert [(layer.weight_grad, layer.input_grad) for layer in layers] == [("sign", "sign")] * 5
    assert numbers(tmp_path, "channels")["weight decay 0.0003"] == {"test_accuracy": 0.5, "closed": [{"relu1": 0.25}]}


def test_files_are_read_and_not_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ma.manual_seed(0)
    net = models.lenet5_bn("adder")  # filters from N(0, 1)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        ma.save(net, tmp_path / folder / "net.safetensors")
    ma.save(net, tmp_path / "third.safetensors")
    files = [tmp_path / "a" / "net.safetensors", tmp_path / "b" / "net.safetensors", tmp_path / "third.safetensors"]
    out = tmp_path / "out"
    assert analyse(out, "weights", *files, files[0]) == 0
    content = numbers(out, "weights")
    assert list(content) == ["a", "b", "third", "a 4"]
    wanted = analysis.fit_weights(net.conv3.weight.numpy())
    assert content["third"]["gauss_log_likelihood"] == wanted.gauss_log_likelihood
    assert content["third"]["better"] == wanted.better == "Gauss"
    assert "epoch" not in capsys.readouterr().err
    assert analyse(out, "filters", files[2], "--weight", "fc1.weight") == 0
    np.testing.assert_array_equal(np.float32(numbers(out, "filters")["third"]["filters"]), net.fc1.weight.numpy())


@pytest.mark.parametrize("files", [(), ("net.safetensors",)])
def test_a_weight_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], files: Any) -> None:
    ma.save(models.lenet5_bn("adder"), tmp_path / "net.safetensors")
    assert analyse(tmp_path / "out", "weights", *(tmp_path / file for file in files), "--weight", "conv9.weight") == 1
    errors = capsys.readouterr().err
    assert "has no conv9.weight: choose by --weight one of conv1.weight, conv2.weight" in errors
    assert not list((tmp_path / "out").iterdir())
    assert analyse(tmp_path / "out", "filters", *(tmp_path / file for file in files), "--weight", "bn1.bias") == 1
    errors = capsys.readouterr().err
    assert "has no filters bn1.bias, only an array of shape (6,): choose by --weight one of conv1.weight" in errors
    assert "epoch" not in errors


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert analyse(tmp_path / "out", "filters", tmp_path / "none.safetensors") == 1
    assert str(tmp_path / "none.safetensors") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("weights", "--epochs", "0"), "--epochs: must be an integer of at least 1, not 0"),
        (("gradients", "--seeds", "x"), "--seeds: must be an integer of at least 1, not 'x'"),
        (("variance", "--seed", "-1"), "--seed: must be an integer from 0 to 4294967295, not -1"),
        (("cube",), "invalid choice: 'cube'"),
        ((), "required: part"),
    ],
)
def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: Any, named: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["analyse", *arguments, *(("--out", str(tmp_path / "out")) if arguments else ())])
    assert caught.value.code == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_a_folder_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minadder.commands.analyse.QUICK_SAMPLES", 50)
    assert cli.main(["analyse", "variance", "--quick"]) == 0
    assert_figures(tmp_path / "runs" / "analyse-variance", "variance")


def test_a_quick_run_takes_a_few_of_the_chosen_data(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = ma.data.load("digits")
    asked: list[str] = []
    monkeypatch.setattr(ma.data, "load", lambda name: asked.append(name) or (train, test.subset(30)))
    options = argparse.Namespace(data="mnist", quick=True)
    few, fewer = load(options)
    assert (asked, len(few), len(fewer)) == (["mnist"], 400, 30)
    options.quick = False
    assert len(load(options)[0]) == len(train)


def test_dots_and_lines_hold_the_variances() -> None:
    values, law = np.array([1.0, 3.0]), np.array([2.0, 6.0])
    (axes,) = plot.variance_panels(
        [1, 3], {"p": ({"adder": (values, 0.1 * values)}, {"adder: law": law, "no": law})}
    ).axes
    assert axes.get_title() == "p"
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_array_equal(drawn["adder: law"], law)
    colours = {line.get_label(): line.get_color() for line in axes.lines}
    assert colours["no"] == "grey"
    np.testing.assert_array_equal(axes.containers[0].lines[0].get_ydata(), values)


def test_histograms_are_densities_and_refuse_what_is_not_finite() -> None:
    values = np.random.default_rng(0).standard_normal((10, 100))
    (axes,) = plot.histograms({"w": (values, {"flat": np.ones_like})}).axes
    assert sum(bar.get_width() * bar.get_height() for bar in axes.patches) == pytest.approx(1)
    assert axes.lines[0].get_label() == "flat"
    for wrong in (np.array([]), np.array([1.0, np.inf])):
        with pytest.raises(ValueError, match="'w'"):
            plot.histograms({"w": (wrong, {})})


def test_each_class_has_its_points() -> None:
    features, labels = np.arange(10.0).reshape(5, 2), np.array([0, 2, 2, 2, 0])
    (axes,) = plot.feature_scatter({"f": (features, labels)}).axes
    assert [len(points.get_offsets()) for points in axes.collections] == [2, 3]
    assert [text.get_text() for text in axes.texts] == ["0", "2"]
    assert axes.get_aspect() == 1  # angles are seen as they are
    with pytest.raises(ValueError, match=r"\(5, 3\)"):
        plot.feature_scatter({"f": (np.zeros((5, 3)), labels)})


def test_norms_are_drawn_for_each_run() -> None:
    (axes,) = plot.norm_dots(["a", "b"], {"CNN": np.array([[1.0, 2.0], [3.0, 6.0]])}, {"CNN": [0.5]}).axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [2.0, 4.0])
    assert len(axes.lines) == 4
    assert axes.get_yscale() == "log"
