"""The scikit-learn estimator: scikit-learn's own checks, what is built of estimators, bits, networks, best epochs."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import joblib
import matplotlib as mpl
import numba
import numpy as np
import pandas as pd
import pytest
from fresh_process import run
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import minadder as ma
from minadder import models, nn, random
from minadder.autograd import Array
from minadder.estimator import AdderClassifier

IRIS: tuple[Array, Array] = load_iris(return_X_y=True)


def quick(**parameters: Any) -> AdderClassifier:
    """Return a classifier that is trained in a moment."""
    return AdderClassifier(**{"hidden_layer_sizes": (8,), "epochs": 5, "random_state": 0} | parameters)


# What scikit-learn itself skips where array_api_strict is not installed, for all estimators.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([AdderClassifier()])
def test_scikit_learns_checks(estimator: AdderClassifier, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize(
    ("load", "least"), [(load_iris, 0.9), (load_wine, 0.9), (load_breast_cancer, 0.93), (load_digits, 0.93)]
)
def test_it_learns_unscaled_data(load: Any, least: float) -> None:
    train_X, test_X, train_y, test_y = train_test_split(*load(return_X_y=True), random_state=0)
    classifier = AdderClassifier(epochs=20, random_state=0).fit(train_X, train_y)
    assert classifier.score(test_X, test_y) > least


@pytest.mark.parametrize(("factor", "offset"), [(1e-12, 0.0), (1e12, 0.0), (1.0, 1e9)])
def test_the_scale_and_the_offset_of_inputs_do_not_matter(factor: float, offset: float) -> None:
    X, y = IRIS
    assert quick(epochs=20).fit(factor * X + offset, y).score(factor * X + offset, y) > 0.9


@pytest.mark.parametrize("layer", ["conv", "adder", "adder-l2", "adder-lp", "binary"])
def test_layers_are_of_the_kind_asked_for(layer: str) -> None:
    classifier = quick(layer=layer, epochs=20).fit(*IRIS)
    expected = models.mlp((4, 8, 3), layer)
    assert [type(module) for module in classifier.net_.modules()] == [type(module) for module in expected.modules()]
    assert classifier.score(*IRIS) > 0.6
    if layer == "adder-lp":
        assert classifier.net_.fc1.p == 1.0


def test_labels_are_of_any_type() -> None:
    X, y = IRIS
    names = load_iris().target_names[y]
    classifier = quick().fit(X, names)
    assert classifier.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert np.array_equal(classifier.predict(X), load_iris().target_names[quick().fit(X, y).predict(X)])
    assert quick().fit(X, y == 1).predict(X).dtype == bool
    assert set(quick().fit(X, y - 7.0).predict(X)) <= {-7.0, -6.0, -5.0}


def test_columns_keep_their_names() -> None:
    frame = pd.DataFrame(IRIS[0], columns=["a", "b", "c", "d"])
    classifier = quick().fit(frame, pd.Series(load_iris().target_names[IRIS[1]]))
    assert classifier.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="feature names should match"):
        classifier.predict(frame[["b", "a", "c", "d"]])


def test_probabilities_decisions_and_labels_agree() -> None:
    X, y = IRIS
    three, two = quick().fit(X, y), quick().fit(X, y > 0)
    assert three.decision_function(X).shape == (150, 3)
    assert two.decision_function(X).shape == (150,)
    np.testing.assert_allclose(three.predict_proba(X).sum(axis=1), 1)
    assert np.array_equal(three.predict(X), three.decision_function(X).argmax(axis=1))
    np.testing.assert_allclose(two.predict_proba(X)[:, 1], 1 / (1 + np.exp(-two.decision_function(X))), rtol=1e-6)


def test_jobs_and_pipelines() -> None:
    pipeline = make_pipeline(MinMaxScaler(), quick())
    alone, shared = (cross_val_score(pipeline, *IRIS, cv=3, n_jobs=jobs) for jobs in (1, 2))
    assert np.array_equal(alone, shared)
    assert min(shared) > 0.6


def test_grids() -> None:
    grid = {"layer": ["conv", "adder"], "hidden_layer_sizes": [(), (4,)], "network": [None]}
    search = GridSearchCV(quick(), grid, cv=2, n_jobs=2, error_score="raise").fit(*IRIS)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_score_ > 0.6


def test_boundaries() -> None:
    with mpl.rc_context({"backend": "agg"}):
        display = DecisionBoundaryDisplay.from_estimator(quick().fit(IRIS[0][:, :2], IRIS[1]), IRIS[0][:, :2])
    assert display.response.shape[:2] == (100, 100)


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads() -> None:
    X, y = IRIS
    expected = quick().fit(X, y).predict_proba(X)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        ma.manual_seed(123)  # which does not matter
        assert np.array_equal(quick().fit(X, y).predict_proba(X), expected)
    finally:
        numba.set_num_threads(threads)
    assert not np.array_equal(quick(random_state=1).fit(X, y).predict_proba(X), expected)


def test_the_librarys_random_numbers_go_on_as_if_nothing_had_been() -> None:
    before = random.generator_state()
    quick().fit(*IRIS)
    with pytest.raises(ValueError, match="eta"):
        quick(eta=0).fit(*IRIS)
    assert random.generator_state() == before


def slowly_made(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return a network between whose layers another thread could draw."""
    first = nn.Linear(*shape, 4)
    time.sleep(0.05)
    return nn.Sequential(first, nn.ReLU(), nn.Linear(4, classes))


def test_fits_in_several_threads_give_the_bits_of_each_alone() -> None:
    X, y = IRIS
    classifiers = [quick(network=slowly_made, random_state=seed) for seed in range(3)]
    alone = [clone(classifier).fit(X, y).predict_proba(X) for classifier in classifiers]
    with joblib.parallel_config("threading", n_jobs=3):
        together = joblib.Parallel()(joblib.delayed(classifier.fit)(X, y) for classifier in classifiers)
    assert all(np.array_equal(one, other.predict_proba(X)) for one, other in zip(alone, together, strict=True))


def test_random_states_are_drawn_from() -> None:
    X, y = IRIS
    first, second = (quick(random_state=np.random.RandomState(0)).fit(X, y).predict_proba(X) for _ in range(2))
    assert np.array_equal(first, second)
    state = np.random.RandomState(0)
    first, second = (quick(random_state=state).fit(X, y).predict_proba(X) for _ in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_what_is_kept_has_the_same_bits(tmp_path: Path, mmap_mode: Any) -> None:
    X, y = IRIS
    classifier = quick(early_stopping=True).fit(X, y)
    joblib.dump(classifier, tmp_path / "classifier.joblib")
    loaded = joblib.load(tmp_path / "classifier.joblib", mmap_mode=mmap_mode)
    for one in (loaded, pickle.loads(pickle.dumps(classifier))):
        assert np.array_equal(one.predict_proba(X), classifier.predict_proba(X))
        assert np.array_equal(one.fit(X, y).predict_proba(X), classifier.predict_proba(X))


def test_nothing_but_the_net_is_kept() -> None:
    classifier = quick(hidden_layer_sizes=(1000,)).fit(*IRIS)
    assert len(pickle.dumps(classifier)) < 1.3 * sum(array.nbytes for array in classifier.net_.state_dict().values())


def test_a_network_of_ones_own_is_copied() -> None:
    X, y = IRIS
    net = models.mlp((4, 6, 3), "adder")
    weights = net.state_dict()
    classifier = quick(network=net)
    first, second = classifier.fit(X, y).net_, clone(classifier).fit(X, y).net_
    assert all(np.array_equal(array, weights[name]) for name, array in net.state_dict().items())
    assert net.training
    assert all(np.array_equal(array, second.state_dict()[name]) for name, array in first.state_dict().items())
    assert first.fc1.weight.shape == (6, 4)
    other = classifier.set_params(random_state=1).fit(X, y).net_
    assert not np.array_equal(first.fc1.weight, other.fc1.weight), "the order of the examples is another"


def test_a_function_makes_the_network_anew() -> None:
    X, y = IRIS
    classifier = quick(network=lambda shape, classes: models.mlp((*shape, 6, classes), "adder-l2"))
    first, second = classifier.fit(X, y).net_, classifier.set_params(random_state=1).fit(X, y).net_
    assert not np.array_equal(first.fc1.weight, second.fc1.weight)


def test_images_and_names_of_networks() -> None:
    pictures, labels = ma.data.load("digits")[0].subset(200).take(np.arange(200), (0,))
    classifier = quick(network="lenet5-bn", layer="conv", epochs=8).fit(255 * pictures, labels)
    assert classifier.score(255 * pictures, labels) > 0.8
    assert classifier.scaler_.n_features_in_ == 1
    with pytest.raises(ValueError, match="features"):
        classifier.predict(np.zeros((1, 3, 32, 32)))


def test_channels_are_standardised() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal([[[[1.0]], [[20.0]], [[300.0]]]], [[[[3.0]], [[0.2]], [[10.0]]]], (20, 3, 2, 4))
    classifier = quick().fit(images, np.arange(20) % 2)
    mean, deviation = images.mean(axis=(0, 2, 3), keepdims=True), images.std(axis=(0, 2, 3), keepdims=True)
    expected = ma.predict_proba(classifier.net_, (images - mean) / deviation)
    np.testing.assert_allclose(classifier.predict_proba(images), expected, rtol=1e-5)
    raw = quick(standardize=False).fit(images, np.arange(20) % 2)
    assert np.array_equal(raw.predict_proba(images), ma.predict_proba(raw.net_, images))


@pytest.mark.parametrize(("early_stopping", "batches"), [(False, 5), (True, 10)])
def test_the_net_is_ready_for_evaluation(early_stopping: bool, batches: int) -> None:
    X, y = IRIS
    classifier = quick(early_stopping=early_stopping, batch_size=10 if early_stopping else 32).fit(X, y)
    assert not any(module.training for module in classifier.net_.modules())
    seed = np.random.RandomState(0).randint(2**31)
    examples = ma.data.Dataset(classifier.scaler_.transform(X), y)
    part = examples.split(0.1, seed)[0] if early_stopping else examples
    before = classifier.net_.state_dict()
    ma.renew_statistics(classifier.net_, ma.data.Loader(part, classifier.batch_size, seed=seed), batches)
    assert all(np.array_equal(array, before[name]) for name, array in classifier.net_.state_dict().items())


def test_what_went_before_decides_on_what_is_kept() -> None:
    X, y = IRIS
    classifier = AdderClassifier(early_stopping=True, validation_fraction=0.3, random_state=0, n_iter_no_change=3)
    losses = [entry["test_loss"] for entry in classifier.fit(X, y + 10).history_]
    best = int(np.argmin(losses))
    assert classifier.n_iter_ == len(losses) == best + 4 < 50
    seed = np.random.RandomState(0).randint(2**31)
    held_out = ma.data.Dataset(classifier.scaler_.transform(X), y).split(0.3, seed)[1]
    assert ma.evaluate(classifier.net_, held_out).loss == losses[best]
    assert classifier.loss_curve_ == [entry["train_loss"] for entry in classifier.history_]


@given(st.integers(2, 12), st.integers(1, 3), st.integers(2, 4), st.integers(1, 5), st.booleans())
def test_few_examples_are_learnt_or_refused(
    examples: int, features: int, classes: int, batch_size: int, early: bool
) -> None:
    y = np.arange(examples) % classes
    X = (y[:, None] * np.arange(1, features + 1)).astype(float)
    classifier = quick(epochs=2, batch_size=batch_size, early_stopping=early)
    held_out = sum(min(1, count - 1) for count in np.bincount(y)) if early else 0  # a tenth, but one of each class
    if batch_size == 1 or examples - held_out == 1 or (early and not held_out):
        with pytest.raises(ValueError, match=r"batch norm needs batches|for testing"):
            classifier.fit(X, y)
    else:
        assert classifier.fit(X, y).predict_proba(X).shape == (examples, len(set(y)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": (8, 0)}, r"hidden_layer_sizes\[1\] must be at least 1, not 0"),
        ({"hidden_layer_sizes": 8}, "hidden_layer_sizes must be a tuple or a list of ints, .* not 8"),
        ({"layer": "dense"}, "the kind of layer must be one of .* not 'dense'"),
        ({"network": "lenet"}, "the network must be one of .* not 'lenet'"),
        ({"network": "lenet5-bn"}, "lenet5-bn takes images of 32×32"),
        ({"network": 3}, "network must be a name, a network .* not 3"),
        ({"network": lambda shape, classes: None}, r"network\(\(4,\), 3\) must return a network"),
        ({"network": nn.Linear(4, 10)}, "the network gives 10 logits for each input, but y holds 3 classes"),
        ({"standardize": "no"}, "standardize must be True or False"),
        ({"early_stopping": 1}, "early_stopping must be True or False"),
        ({"early_stopping": True, "validation_fraction": 1.0}, r"test must be a number in \(0, 1\), got 1.0"),
        ({"early_stopping": True, "n_iter_no_change": 0}, "patience must be at least 1"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"learning_rate": 0}, "lr must be a number"),
        ({"weight_decay": -1}, "weight_decay must be a number"),
        ({"eta": 0}, "eta must be a number"),
        ({"random_state": "one"}, "cannot be used to seed"),
        ({"verbose": 1}, "verbose must be True or False"),
    ],
)
def test_parameters_outside_their_ranges_are_named(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        quick(**parameters).fit(*IRIS)


@pytest.mark.parametrize("factor", [1e200, 1e308])
def test_numbers_that_cannot_be_scaled_are_refused(factor: float) -> None:
    with pytest.raises(ValueError, match=r"whose variance is no float64|beyond 3\.4e38"):
        quick().fit([[factor], [-factor], [0.0], [0.5 * factor]], [0, 1, 0, 1])


def test_one_class_is_none() -> None:
    with pytest.raises(ValueError, match="y holds one class, 'a': a classifier needs two or more"):
        quick().fit([[0.0], [1.0]], ["a", "a"])


def test_what_is_not_fitted_says_so() -> None:
    with pytest.raises(NotFittedError):
        quick().predict(IRIS[0])


def test_it_is_silent_unless_asked(capfd: pytest.CaptureFixture[str]) -> None:
    quick().fit(*IRIS)
    assert capfd.readouterr() == ("", "")
    quick(verbose=True).fit(*IRIS)
    assert "epoch 5/5: loss" in capfd.readouterr().err


def test_the_library_does_without_scikit_learn_until_then(tmp_path: Path) -> None:
    assert run("import sys, minadder; print('sklearn' in sys.modules)", tmp_path).stdout == "False\n"


def test_the_picture_of_an_estimator() -> None:
    assert "AdderClassifier" in quick()._repr_html_()
    assert repr(quick(layer="conv")).startswith("AdderClassifier(")
