"""The training loop: what it computes, what it tells, and when it stops."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import callbacks, checkpoint, data, models, nn, optim
from minadder.callbacks import epoch_line
from minadder.diagnosis import first_non_finite
from minadder.evaluation import count_among_first, count_correct
from minadder.run import Callback
from minadder.testing import seeds


def blobs(count=60, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    inputs = (rng.standard_normal((count, 4)) + 3 * np.eye(4)[labels]).astype(np.float32)
    return data.Dataset(inputs, labels.astype(np.int64), classes, "blobs")


def make(layer="adder", lr=0.1, seed=0):
    ma.manual_seed(seed)
    net = models.mlp((4, 8, 3), layer)
    optimizer = optim.SGD(net.parameters(), lr=lr, momentum=0.9, nesterov=True, adder_lr=optim.AdaptiveLR(0.2))
    return net, optimizer


def loader(dataset=None, **options):
    return data.Loader(dataset or blobs(), 16, shuffle=True, seed=1, **options)


def test_it_learns_and_the_history_says_so():
    net, optimizer = make()
    history = ma.fit(net, loader(), blobs(seed=9), epochs=8, optimizer=optimizer, schedule=optim.Cosine())
    assert [entry["epoch"] for entry in history] == list(range(1, 9))
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    assert history[-1]["test_accuracy"] > 0.9
    assert not net.training


def test_the_history_agrees_with_an_evaluation_by_hand():
    net, optimizer = make()
    test = blobs(seed=9)
    history = ma.fit(net, loader(), test, epochs=1, optimizer=optimizer)
    with ma.no_grad():
        logits = net(test.inputs)
    assert history[-1]["test_accuracy"] == pytest.approx((logits.argmax(axis=1) == test.labels).mean())
    assert history[-1]["test_loss"] == pytest.approx(ma.ops.cross_entropy(logits, test.labels).item(), rel=1e-5)


@given(seeds, st.integers(1, 12), st.integers(2, 12))
def test_labels_among_the_first_are_those_that_sorting_finds(seed, first, classes):
    rng = np.random.default_rng(seed)
    logits = rng.integers(-3, 4, (20, classes)).astype(np.float32)  # many are equal
    labels = rng.integers(0, classes, 20)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :first]
    assert count_among_first(logits, labels, first) == np.sum(order == labels[:, None])
    assert count_among_first(logits, labels, 1) == count_correct(ma.tensor(logits), labels)


def test_no_label_is_first_beside_a_logit_that_is_no_number():
    logits = np.array([[np.nan, 1.0, 2.0]])
    assert [count_among_first(logits, np.array([label]), 1) for label in range(3)] == [0, 0, 0]


def test_top_5_is_told_of_many_classes_alone():
    rng = np.random.default_rng(0)
    for classes, told in ((99, False), (100, True)):
        net = models.mlp((4, 8, classes), "conv")
        test = data.Dataset(
            rng.standard_normal((70, 4)).astype(np.float32), rng.integers(0, classes, 70), classes, "many"
        )
        entry = ma.fit(
            net,
            test,
            data.Loader(test, 32),
            epochs=1,
            optimizer=optim.SGD(net.parameters(), lr=0.1, adder_lr=optim.IncreasedLR(1)),
        )[0]
        if told:
            with ma.no_grad():
                order = np.argsort(-net(test.inputs).numpy(), axis=1)[:, :5]
            assert entry["test_top5_accuracy"] == (order == test.labels[:, None]).sum() / 70
            assert entry["test_top5_accuracy"] > entry["test_accuracy"]
            assert f", top-5 {100 * entry['test_top5_accuracy']:.2f} %" in epoch_line(entry, 1)
        else:
            assert entry["test_top5_accuracy"] is None
            assert "top-5" not in epoch_line(entry, 1)


def test_a_step_is_the_one_written_by_hand():
    net, optimizer = make()
    other, by_hand = make()
    ma.fit(net, loader(), epochs=1, optimizer=optimizer, schedule=optim.Cosine(), renew_batches=0)
    batches = list(loader())
    for number, (inputs, labels) in enumerate(batches):
        optim.Cosine().set_lr(by_hand, number / len(batches))
        by_hand.zero_grad()
        ma.ops.cross_entropy(other(inputs), labels).backward()
        by_hand.step()
    for name, array in net.state_dict().items():
        assert array.tobytes() == other.state_dict()[name].tobytes(), name


@pytest.mark.parametrize("by", ["step", "epoch"])
def test_the_schedule_sees_the_fraction_of_the_whole_training(by):
    seen = []

    class Watch(Callback):
        def on_step_end(self, run):
            seen.append(run.optimizer.param_groups[0]["lr"])

    net, optimizer = make()
    ma.fit(net, loader(), epochs=2, optimizer=optimizer, schedule=optim.Polynomial(by=by), callbacks=[Watch()])
    steps = len(loader())
    fractions = [(epoch + (step / steps if by == "step" else 0)) / 2 for epoch in range(2) for step in range(steps)]
    np.testing.assert_allclose(seen, [0.1 * (1 - fraction) for fraction in fractions])


def test_the_same_seed_gives_the_same_bits():
    results = []
    for _ in range(2):
        net, optimizer = make()
        ma.fit(net, loader(), epochs=2, optimizer=optimizer)
        results.append(net.state_dict())
    assert all(results[0][name].tobytes() == results[1][name].tobytes() for name in results[0])


class StopAfter(Callback):
    """Ends a training as a crash would."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, run):
        if len(run.history) == self.epochs:
            raise InterruptedError


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_resumed_training_ends_with_the_same_bits(tmp_path, stop):
    def train(extra, resume=None):
        net, optimizer = make()
        options = {"optimizer": optimizer, "schedule": optim.Cosine(), "resume": resume}
        keep = callbacks.Checkpoint(tmp_path / "checkpoint.safetensors")
        history = ma.fit(net, loader(), blobs(seed=9), epochs=4, callbacks=[keep, *extra], **options)
        return net.state_dict(), optimizer.state_dict()["arrays"], history

    whole = train([])
    with pytest.raises(InterruptedError):
        train([StopAfter(stop)])
    ma.manual_seed(99)  # the resumed process may have drawn other numbers before
    resumed = train([], resume=tmp_path / "checkpoint.safetensors")
    for part in range(2):
        assert whole[part].keys() == resumed[part].keys()
        for name in whole[part]:
            assert whole[part][name].tobytes() == resumed[part][name].tobytes(), name
    for one, other in zip(whole[2], resumed[2], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    net, optimizer = make()
    ma.fit(net, loader(), epochs=1, optimizer=optimizer, callbacks=[callbacks.Checkpoint(path)])
    for change, message in (
        ({"lr": 0.2}, r"lr is 0\.1, now it is 0\.2"),
        ({"layer": "conv"}, r"net is .*AdderLinear\(4, 8.*now it is .*Linear\(4, 8, bias=True\)'\. Resume"),
        ({"schedule": optim.Cosine()}, "schedule is 'None', now it is \"Cosine"),
    ):
        net, optimizer = make(change.pop("layer", "adder"), change.pop("lr", 0.1))
        with pytest.raises(ValueError, match=message):
            ma.fit(net, loader(), optimizer=optimizer, resume=path, **{"epochs": 1, **change})


def test_a_training_with_a_function_as_transform_resumes(tmp_path):
    path = tmp_path / "checkpoint.safetensors"

    def noisy():
        return lambda batch, rng: batch + rng.standard_normal(batch.shape).astype(batch.dtype)

    transforms = [noisy(), noisy()]  # both alive, so that they lie at two addresses, as in two processes

    def train(resume=None):
        net, optimizer = make()
        batches = loader(transform=transforms[resume is None])
        keep = [callbacks.Checkpoint(path), StopAfter(1)] if resume is None else []
        return ma.fit(net, batches, epochs=2, optimizer=optimizer, callbacks=keep, resume=resume)

    with pytest.raises(InterruptedError):
        train()
    assert len(train(resume=path)) == 2


def test_a_checkpoint_without_settings_is_refused(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    net, optimizer = make()
    checkpoint.save_training(path, net, optimizer, {"note": 1})
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors was not written by ma\.callbacks\.Checkpoint"):
        ma.fit(net, loader(), epochs=1, optimizer=optimizer, resume=path)


def test_a_loss_of_nan_stops_with_the_first_layer_responsible():
    net, optimizer = make()
    net.fc2.weight.data = np.full_like(net.fc2.weight.numpy(), np.nan)
    with pytest.raises(
        RuntimeError, match=r"epoch 1, step 1 of 4.*fc2 \(AdderLinear\).*input is finite.*weight hold NaN"
    ):
        ma.fit(net, loader(), epochs=1, optimizer=optimizer)


def test_an_exploding_training_stops():
    net, optimizer = make("conv", lr=1e30)
    with pytest.raises(RuntimeError, match=r"the loss is (nan|inf) in epoch \d.*first layer.*\(Linear\)"):
        ma.fit(net, loader(), epochs=5, optimizer=optimizer)


class Spoil(Callback):
    """Puts a value into the net at the very end of the second epoch, where no training loss can show it any more."""

    def __init__(self, value, buffer=False):
        self.value, self.buffer = value, buffer

    def on_step_end(self, run):
        if run.epoch == 1 and run.step == run.steps_per_epoch:
            if self.buffer:
                run.net.bn1.running_var[0] = self.value
            else:
                run.net.fc2.weight.data = np.full_like(run.net.fc2.weight.numpy(), self.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Spoil(np.nan), r"after epoch 2, fc2\.weight of the net hold NaN"),
        (Spoil(np.inf, buffer=True), r"after epoch 2, bn1\.running_var of the net hold NaN"),
        (Spoil(3e38), r"the renewed statistics hold NaN.*fc2 \(AdderLinear\).*its parameters are finite"),
    ],
    ids=["parameter", "running statistics", "test loss"],
)
def test_a_net_broken_by_the_last_step_is_not_kept(tmp_path, spoil, message):
    path = tmp_path / "checkpoint.safetensors"
    net, optimizer = make()
    with pytest.raises(RuntimeError, match=message):
        ma.fit(net, loader(), blobs(), epochs=3, optimizer=optimizer, callbacks=[callbacks.Checkpoint(path), spoil])
    arrays, state = checkpoint.read_training(path)
    assert [entry["epoch"] for entry in state["progress"]["history"]] == [1]
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_data_that_hold_nan_are_blamed_on_the_data():
    dataset = blobs()
    dataset.inputs[7] = np.nan
    net, optimizer = make()
    with pytest.raises(RuntimeError, match="input data hold NaN or Inf"):
        ma.fit(net, loader(dataset), epochs=1, optimizer=optimizer)


def test_a_network_is_blamed_for_what_its_own_forward_does():
    class Overflowing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            return self.layer(x) * 1e38 * 1e38

    net = Overflowing()
    optimizer = optim.SGD(net.parameters(), lr=0.1, adder_lr=optim.IncreasedLR(1))
    with pytest.raises(RuntimeError, match=r"NaN or Inf is the net \(Overflowing\): its input is finite"):
        ma.fit(net, loader(), epochs=1, optimizer=optimizer)


def test_the_diagnosis_leaves_the_net_as_it_was():
    net, _ = make()
    net.fc1.weight.data = np.full_like(net.fc1.weight.numpy(), np.inf)
    before = net.state_dict()
    assert "fc1 (AdderLinear)" in first_non_finite(net, ma.tensor(blobs().inputs))
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert all(not module._hooks for module in net.modules())


def test_an_adder_layer_without_batch_norm_warns_once():
    net = nn.Sequential(nn.AdderLinear(4, 3))
    optimizer = optim.SGD(net.parameters(), lr=0.1, adder_lr=optim.IncreasedLR(1))
    with pytest.warns(UserWarning, match=r"no batch norm directly behind 0 \(AdderLinear\)") as caught:
        ma.fit(net, loader(), epochs=2, optimizer=optimizer)
    assert len(caught) == 1


@pytest.mark.parametrize("epochs", [0, -1, 1.5, True, "3"])
def test_wrong_epochs_are_named(epochs):
    net, optimizer = make()
    error, wanted = (ValueError, "at least 1") if epochs in (0, -1) else (TypeError, "an int")
    with pytest.raises(error, match=f"epochs must be {wanted}, not {epochs!r}"):
        ma.fit(net, loader(), epochs=epochs, optimizer=optimizer)


def test_the_binary_loss_trains_a_single_logit():
    ma.manual_seed(0)
    net = models.mlp((2, 6, 1), "adder")
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, adder_lr=optim.AdaptiveLR(0.2))
    points = data.unit_ball(300)
    scaled = data.Dataset(points.inputs / 10, points.labels, 2, "ball")
    history = ma.fit(net, scaled, scaled, epochs=60, optimizer=optimizer, loss=nn.BCEWithLogitsLoss())
    assert history[-1]["test_accuracy"] > 0.9


def test_progress_writes_a_line_for_each_epoch():
    out = io.StringIO()
    net, optimizer = make()
    ma.fit(net, loader(), blobs(), epochs=2, optimizer=optimizer, callbacks=[callbacks.Progress(out)])
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("epoch 2/2: loss ")
    assert "test accuracy" in lines[1]
    assert lines[1].endswith("0 s left")


def test_progress_is_a_bar_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    net, optimizer = make()
    ma.fit(net, loader(), blobs(), epochs=2, optimizer=optimizer, callbacks=[callbacks.Progress(out)])
    assert "8/8" in out.getvalue()
    assert "epoch 2/2" in out.getvalue()


def test_the_checkpoint_is_complete_after_each_epoch(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    epochs = []

    class Look(Callback):
        def on_epoch_end(self, run):
            _, state = checkpoint.read_training(path)
            epochs.append(len(state["progress"]["history"]))

    net, optimizer = make()
    ma.fit(net, loader(), epochs=3, optimizer=optimizer, callbacks=[callbacks.Checkpoint(path), Look()])
    assert epochs == [1, 2, 3]


def test_an_optimiser_that_holds_other_parameters_is_warned_of():
    net, _ = make()
    other, _ = make()
    parameters = [*net.parameters(), *other.parameters()]
    optimizer = optim.SGD(parameters, lr=0.1, adder_lr=optim.AdaptiveLR(0.2))
    with pytest.warns(
        UserWarning, match=r"6 of the optimizer's 12 parameters, the first of shape \(8, 4\), are none of"
    ):
        ma.fit(net, loader(), epochs=1, optimizer=optimizer)
