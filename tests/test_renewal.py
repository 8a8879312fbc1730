"""Renewed statistics of batch norm: what they are, and that a training is not changed by them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import data, models, nn, optim


@given(st.integers(2, 50), st.integers(2, 20), st.integers(1, 9), st.integers(0, 99))
def test_they_are_the_mean_over_the_examples_of_the_batches(count, batch_size, batches, seed):
    inputs = np.random.default_rng(seed).standard_normal((count, 3)).astype(np.float32)
    loader = data.Loader(data.Dataset(inputs, np.zeros(count, int)), batch_size, seed=seed)
    net = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, momentum=0.5))
    ma.renew_statistics(net, loader, batches)
    used = [x for x, _ in data.Loader(loader.dataset, batch_size, shuffle=True, seed=seed)][:batches]
    weights = np.array([len(x) for x in used]) / sum(len(x) for x in used)
    mean = sum(w * x.mean(axis=0) for w, x in zip(weights, used, strict=True))
    var = sum(w * x.var(axis=0, ddof=1) for w, x in zip(weights, used, strict=True))
    np.testing.assert_allclose(net[0].running_mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net[0].running_var, var, rtol=1e-4, atol=1e-5)
    assert [norm.momentum for norm in net] == [0.1, 0.5]
    assert [int(norm.num_batches_tracked) for norm in net] == [0, 0]
    assert all(module.training for module in net.modules())
    assert loader.epoch == 0


def blobs(seed=0, count=96):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return data.Dataset(rng.standard_normal((count, 4)) + 3 * np.eye(4)[labels], labels)


def trained(renew_batches, **options):
    ma.manual_seed(0)
    net = models.mlp((4, 8, 3), "adder")
    history = ma.fit(
        net, blobs(), blobs(1), epochs=3, batch_size=16, renew_batches=renew_batches, verbose=False, **options
    )
    return net, history


def test_a_training_has_the_same_weights_with_and_without_them():
    renewed, running = trained(10)[0], trained(0)[0]
    for (name, one), other in zip(renewed.named_parameters(), running.parameters(), strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes(), name
    assert renewed.bn1.running_mean.tobytes() != running.bn1.running_mean.tobytes()


def test_an_evaluation_gives_the_end_of_the_curve(tmp_path):
    net, history = trained(10)
    assert ma.evaluate(net, blobs(1)) == (history[-1]["test_loss"], history[-1]["test_accuracy"])
    before = net.state_dict()
    ma.renew_statistics(net, data.Loader(blobs(), 16))
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    ma.save(net, tmp_path / "net.safetensors")
    other = models.mlp((4, 8, 3), "adder")
    ma.load(other, tmp_path / "net.safetensors")
    assert ma.evaluate(other, blobs(1)) == (history[-1]["test_loss"], history[-1]["test_accuracy"])


def test_a_resumed_training_has_the_same_bits(tmp_path):
    path = tmp_path / "checkpoint"
    whole, wanted = trained(2)

    class Enough(ma.callbacks.Callback):
        def on_epoch_end(self, run):
            if run.epoch == 1:
                run.stop()

    trained(2, callbacks=[ma.callbacks.Checkpoint(path), Enough()])
    net, history = trained(2, resume=path)
    assert [entry["test_loss"] for entry in history] == [entry["test_loss"] for entry in wanted]
    assert [a.tobytes() for a in net.state_dict().values()] == [a.tobytes() for a in whole.state_dict().values()]
    with pytest.raises(ValueError, match="its renew_batches is 2, now it is 3"):
        trained(3, resume=path)


def test_statistics_that_lag_mislead_and_renewed_ones_do_not():
    """Adder filters move far in a few steps: an early epoch's running statistics are of other filters."""
    ma.manual_seed(0)
    digits = data.load("digits")[0].subset(512)
    curves = []
    for renew_batches in (0, 10):
        ma.manual_seed(0)
        net = models.lenet5_bn("adder")
        options = {"epochs": 2, "batch_size": 64, "renew_batches": renew_batches, "verbose": False}
        curves.append([entry["test_accuracy"] for entry in ma.fit(net, digits, digits, **options)])
    assert curves[1][0] > curves[0][0] + 0.1
    assert curves[1][-1] > curves[0][-1] + 0.3


def test_only_batch_norm_is_in_training_meanwhile():
    seen = []

    class Spy(nn.Module):
        def forward(self, x):
            seen.append(self.training)
            return x

    net = nn.Sequential(Spy(), nn.BatchNorm1d(2))
    frozen = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)).eval()
    ma.renew_statistics(net, ([[0.0, 1.0], [2.0, 3.0]], [0, 1]))
    ma.renew_statistics(frozen, ([[0.0, 1.0], [2.0, 3.0]], [0, 1]))
    assert seen == [False]
    assert not any(module.training for module in frozen.modules())
    np.testing.assert_array_equal(frozen[0].running_mean, [1.0, 2.0])


def test_nothing_is_done_without_batch_norm_and_wrong_things_are_named():
    net = nn.Linear(2, 2)
    ma.renew_statistics(net, ([[0.0, 1.0]], [0]))
    with pytest.raises(ValueError, match="batches must be at least 1"):
        ma.renew_statistics(net, ([[0.0, 1.0]], [0]), 0)
    with pytest.raises(TypeError, match="net must be a network"):
        ma.renew_statistics("net", ([[0.0, 1.0]], [0]))


def test_statistics_that_become_nan_blame_the_layer():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    net[0].weight.data = np.full((2, 2), 3e38, np.float32)
    with pytest.raises(RuntimeError, match=r"statistics hold NaN or Inf; the first layer to give them is 0 \(Linear\)"):
        ma.renew_statistics(net, ([[3.0, 3.0], [2.0, 4.0]], [0, 1]))


def test_the_default_optimiser_is_the_recipe():
    ma.manual_seed(0)
    by_hand = models.mlp((4, 8, 3), "adder")
    optimizer = optim.SGD(
        by_hand.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, adder_lr=optim.AdaptiveLR(0.2)
    )
    options = {"epochs": 3, "batch_size": 16, "verbose": False}
    ma.fit(by_hand, blobs(), optimizer=optimizer, schedule=optim.Cosine(), **options)
    ma.manual_seed(0)
    net = models.mlp((4, 8, 3), "adder")
    ma.fit(net, blobs(), **options)
    assert [a.tobytes() for a in net.state_dict().values()] == [a.tobytes() for a in by_hand.state_dict().values()]
