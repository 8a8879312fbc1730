"""One epoch of a training: its steps, then the test, with what stops a training whose numbers run away."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from minadder.autograd import Array, no_grad
from minadder.data import Loader
from minadder.diagnosis import finite, first_non_finite
from minadder.evaluation import count_correct, examples_in, measure, number_of, targets
from minadder.nn import Module, Parameter
from minadder.nn.adder import AdderLayer
from minadder.nn.batchnorm import BatchNorm
from minadder.optim.exponents import LinearP
from minadder.optim.schedules import Schedule
from minadder.renewal import renew_statistics
from minadder.run import Callback, Run
from minadder.tensor import Tensor


def train_epoch(
    run: Run,
    train: Loader,
    schedule: Schedule | None,
    p_schedule: LinearP | None,
    loss: Module,
    callbacks: Sequence[Callback],
) -> None:
    """Go through the training data once."""
    run.begin = time.perf_counter()
    run.net.train()
    train.set_epoch(run.epoch)
    total, correct, seen = 0.0, 0, 0
    for run.step, (inputs, labels) in enumerate(train):
        if schedule is not None:
            schedule.set_lr(run.optimizer, fraction_done(run, schedule.by))
        if p_schedule is not None:
            set_p(run.net, p_schedule.p(fraction_done(run, p_schedule.by)))
        value, outputs = train_step(run, inputs, labels, loss)
        total += value * examples_in(loss, len(labels))
        correct += count_correct(outputs, labels)
        seen += len(labels)
        run.step, run.loss, run.accuracy = run.step + 1, total / seen, correct / seen
        for callback in callbacks:
            callback.on_step_end(run)


def finish_epoch(run: Run, train: Loader, test: Loader | None, loss: Module, renew_batches: int) -> None:
    """Renew batch norm's statistics, check the net, evaluate, and add to the history."""
    check_state(run)
    if renew_batches:
        renew_statistics(run.net, train, renew_batches)
    test_loss, test_accuracy, test_top5 = (None, None, None) if test is None else measure(run.net, test, loss)
    if test is not None and test_loss is not None and not math.isfinite(test_loss):
        raise RuntimeError(
            f"the test loss is {test_loss} after epoch {run.epoch + 1}. The first layer to give NaN or Inf is "
            f"{blame_on_test(run.net, test, loss)}. Try a lower learning rate, or look at the data"
        )
    run.history.append(
        {
            "epoch": run.epoch + 1,
            "lr": float(run.optimizer.param_groups[0]["lr"]),
            "train_loss": run.loss,
            "train_accuracy": run.accuracy,
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
            "test_top5_accuracy": test_top5,
            "seconds": time.perf_counter() - run.begin,
        }
    )


def fraction_done(run: Run, by: str) -> float:
    """Return the fraction of training that is done, for what changes by step or only by epoch."""
    return (run.epoch + (run.step / run.steps_per_epoch if by == "step" else 0)) / run.epochs


def set_p(net: Module, p: float) -> None:
    """Set the exponent of all adder layers; ValueError where there is none."""
    layers = [module for module in net.modules() if isinstance(module, AdderLayer)]
    if not layers:
        raise ValueError(f"{type(net).__name__} has no adder layers whose p a p_schedule could set")
    for layer in layers:
        layer.set_p(p)


def train_step(run: Run, inputs: Array, labels: Array, loss: Module) -> tuple[float, Tensor]:
    """Do one step on a batch, and return the loss and the outputs."""
    run.optimizer.zero_grad()
    outputs = run.net(Tensor(inputs))
    result = number_of(loss(outputs, targets(loss, labels, outputs)))
    value = result.item()
    if not math.isfinite(value):
        raise RuntimeError(
            f"the loss is {value} in epoch {run.epoch + 1}, step {run.step + 1} of {run.steps_per_epoch}. The first "
            f"layer to give NaN or Inf is {first_non_finite(run.net, Tensor(inputs))}. "
            f"Try a lower learning rate, or look at the data"
        )
    result.backward()
    run.optimizer.step()
    return value, outputs


def check_state(run: Run) -> None:
    """Raise RuntimeError when the last step broke the net, which no training loss of this epoch has shown."""
    broken = []
    for path, module in run.net.named_modules():
        values: dict[str, Any] = {name: value for name, value in vars(module).items() if isinstance(value, Parameter)}
        if isinstance(module, BatchNorm):
            values.update(running_mean=module.running_mean, running_var=module.running_var)
        broken += [f"{path}.{name}" if path else name for name, value in values.items() if not finite(value)]
    if broken:
        raise RuntimeError(
            f"after epoch {run.epoch + 1}, {', '.join(broken)} of the net hold NaN or Inf. Try a lower learning rate, "
            f"or look at the data"
        )


def blame_on_test(net: Module, test: Loader, loss: Module) -> str:
    """Return which layer is the first to give NaN or Inf on the first batch of test data with such a loss."""
    net.eval()
    with no_grad():
        for inputs, labels in test:
            outputs = net(Tensor(inputs))
            if not finite(loss(outputs, targets(loss, labels, outputs))):
                return first_non_finite(net, Tensor(inputs))
    return "none for a single batch, so it is the sum over all"
