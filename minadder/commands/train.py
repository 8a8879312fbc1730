"""The command `minadder train`: train a network, by default as the papers do on MNIST, and keep what comes of it."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import lock_descriptor

import minadder as ma
from minadder import callbacks, data, files, models, nn, optim, plot, streams
from minadder.commands import results
from minadder.commands.arguments import fraction, natural, positive_float, positive_int, seed
from minadder.data.transforms import AUGMENTS, AUTO, shifted
from minadder.models.networks import HIDDEN_UNITS, NETWORKS, check_takes
from minadder.nn.convert import KINDS
from minadder.run import Epoch

FOLDER = "imagefolder"
DATA = (*data.BY_NAME, f"{FOLDER} PATH")
SCHEDULES = {"cosine": optim.Cosine, "polynomial": optim.Polynomial}
SHAPES = dict.fromkeys(("digits", "mnist5k", "mnist"), (1, 32, 32)) | dict.fromkeys(
    ("cifar10", "cifar100"), (3, 32, 32)
)
"""Of each data set's images, so that a network that does not take them is known before they are loaded."""
CHECKPOINT = "checkpoint.safetensors"
LOCK = ".lock"
RESULTS = ("net.safetensors", "history.json", "curves.png", "filters.png")
SMALL_DATA = 10_000
MIRRORED = ("cifar10", "cifar100")
"""The data sets of which images are shifted and mirrored unless told otherwise."""
TEST_PIXELS = 1000 * 32 * 32
"""Height × width × images that are evaluated at once."""
EPOCHS, QUICK_EPOCHS, QUICK_EXAMPLES = 50, 1, 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description = (
        "Train a network with Nesterov momentum 0.9, weight decay 5e-4 (1e-4 for images that are read batch by batch) "
        "and an adaptive learning rate for adder filters. The defaults are what the papers do on MNIST: "
        f"{EPOCHS} epochs, batches of 256, cosine from 0.1 to 0, η = 0.2. Their other trainings are: CIFAR, "
        "--schedule polynomial --epochs 400 (Chen et al. 2020) or 800 (Universal AdderNets), with η = 0.1 in the text; "
        "ImageNet, 150 or 300 epochs with the cosine and weight decay 1e-4. "
        "Images of an imagefolder are brought to the size that the network takes. Small ones, all of one size of at "
        "most 64×64, are held in memory, all others read from their files batch by batch. Leaves in the folder the "
        "net, a checkpoint, the history, the learning curves and the first layer's filters."
    )
    sizes = {
        name: "any size" if network.any_size else "×".join(map(str, network.input_shape[1:]))
        for name, network in NETWORKS.items()
    }
    parser.add_argument(
        "network",
        choices=tuple(NETWORKS),
        metavar="network",
        help="the network, with the images that it takes: "
        + ", ".join(f"{name} ({size})" for name, size in sizes.items())
        + f"; mlp has one hidden layer of {HIDDEN_UNITS}",
    )
    parser.add_argument(
        "--layer", choices=tuple(KINDS), default="adder", help="the kind of its layers (default: %(default)s)"
    )
    parser.add_argument(
        "--data",
        nargs="+",
        action=Source,
        default=("digits",),
        metavar=("NAME", "PATH"),
        help=f"the data set: {', '.join(DATA)}, which holds train/<class>/*.jpg and val/<class>/*.jpg, or "
        "<class>/*.jpg alone, a fifth of which is then held out to test (digits)",
    )
    parser.add_argument(
        "--augment",
        choices=AUGMENTS,
        default=AUTO,
        help="what is done at random to training images (He et al. 2016): shift-mirror shifts them by up to an eighth "
        "of their side and mirrors them or not, shift never mirrors, as is right for digits; crop-mirror and crop, "
        "for an imagefolder, take a random part; auto is none for digits and mnist, shift-mirror for cifar, and for an "
        "imagefolder shift for small images and crop for others, with -mirror for those in colours (%(default)s)",
    )
    parser.add_argument(
        "--epochs", type=positive_int, help=f"how often to go through the data ({EPOCHS}, or {QUICK_EPOCHS} if --quick)"
    )
    parser.add_argument("--out", type=files.path_argument, required=True, help="the folder for what comes of it")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint, if there is one")
    parser.add_argument("--seed", type=seed, default=0, help="of weights and order of the data (%(default)s)")
    parser.add_argument(
        "--batch-size",
        type=positive_int,
        help=f"examples a step (256, or 64 for data of fewer than {SMALL_DATA} examples)",
    )
    parser.add_argument("--lr", type=positive_float, default=0.1, help="the learning rate at the start (%(default)s)")
    parser.add_argument(
        "--p-until",
        type=fraction,
        default=0.75,
        help="for adder-lp: the fraction of training in which p falls from 2 to 1 (%(default)s, as the 600 of 800 "
        "epochs of Universal AdderNets)",
    )
    parser.add_argument(
        "--schedule",
        choices=tuple(SCHEDULES),
        default="cosine",
        help="how the learning rate falls: cosine as on MNIST and ImageNet, or polynomial as on CIFAR, here a straight "
        "line, since the papers give no power (%(default)s)",
    )
    parser.add_argument(
        "--eta", type=positive_float, default=0.2, help="the adaptive learning rate's η (%(default)s, as on MNIST)"
    )
    parser.add_argument(
        "--renew-batches",
        type=natural,
        default=10,
        metavar="N",
        help="before each test, make batch norm's running statistics, which lag behind fast filters, anew from N "
        "batches, which cost as many forward passes; 0 tests with running averages, as the papers do (%(default)s)",
    )
    parser.add_argument(
        "--quick", action="store_true", help=f"on {QUICK_EXAMPLES} examples, to see in seconds that it works"
    )


class Source(argparse.Action):
    """Keeps --data as a tuple: the name of a data set, or imagefolder and its path."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Check what stands behind --data."""
        name, *rest = values
        if name != FOLDER and name not in data.BY_NAME:
            parser.error(f"argument --data: invalid choice: {name!r} (choose from {', '.join(DATA)})")
        if name == FOLDER and len(rest) != 1:
            parser.error(f"argument --data: {FOLDER} needs one path behind it, not {' '.join(rest) or 'none'}")
        if name != FOLDER and rest:
            parser.error(
                f"argument --data: nothing may follow {name}, but {' '.join(rest)} does: name the network first"
            )
        namespace.data = tuple(values)


def load_data(source: tuple[str, ...], network: str, augment: str) -> tuple[data.Examples, data.Examples]:
    """Return the training and the test data for a network, which must take their images."""
    name, *path = source
    if path:
        return data.imagefolder(path[0], NETWORKS[network].input_shape[1], augment=augment)
    if augment.startswith("crop"):
        raise ValueError(f"--augment {augment} is for an imagefolder, not for {name}: choose shift or shift-mirror")
    check_network(network, name, SHAPES[name])
    sets = data.load(name)
    check_network(network, name, sets[0].shape)
    return sets


def check_network(network: str, name: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless a network takes images of the shape that a data set has."""
    try:
        check_takes(network, shape)
    except ValueError as error:
        raise ValueError(f"--data {name} does not fit: {error}") from None


def augmentation(source: tuple[str, ...], augment: str) -> data.Compose | None:
    """Return what is done to training images at random (He et al. 2016, Sec. 4.2); imagefolders do so themselves."""
    name = source[0]
    if name == FOLDER:
        return None
    return shifted(("shift-mirror" if name in MIRRORED else "none") if augment == AUTO else augment, SHAPES[name])


def check_folder(folder: Path, resume: bool) -> Path | None:
    """Return the checkpoint to go on from, None to start anew; OSError where neither is right or nothing is written."""
    last = folder / CHECKPOINT
    results.check_folder(folder, (CHECKPOINT, *RESULTS))
    if not last.exists():
        foreign = next((name for name in RESULTS if (folder / name).exists()), None)
        if foreign is not None:
            raise FileExistsError(
                f"{files.shown(folder)} holds {foreign} but no checkpoint to go on from: choose another --out, or move "
                "the file away"
            )
        return None
    if not resume:
        raise FileExistsError(
            f"{files.shown(folder)} holds a training already: go on with --resume, or choose another --out"
        )
    return last


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from training in a folder; the system lets go when the process ends, however it ends.

    What is locked is the folder, or on Windows, which opens none, a file in it.
    """
    place, flags = (folder / LOCK, os.O_RDWR | os.O_CREAT) if files.WINDOWS else (folder, os.O_RDONLY)
    descriptor = os.open(place, flags)
    try:
        if not locked(descriptor, folder):
            raise RuntimeError(
                f"another process is training in {files.shown(folder)}: wait for it or stop it, or choose another --out"
            )
        yield
    finally:
        os.close(descriptor)
        if files.WINDOWS:
            with contextlib.suppress(OSError):  # another process has it open, to lock it too
                place.unlink()


def locked(descriptor: int, folder: Path) -> bool:
    """Lock a descriptor for a folder; return False where another process has it locked, and tell where none can be."""
    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError as error:  # network file systems may have no locks for folders
        streams.tell(f"{files.shown(folder)} cannot be locked ({error.strerror}): let no other process train in it")
        return True


def run(options: argparse.Namespace) -> int:
    """Train a network and leave the results in the folder; return the exit code."""
    try:
        train(options)
    except KeyboardInterrupt as stop:
        kept = options.out / CHECKPOINT
        if not kept.exists():
            raise type(stop)("no epoch was finished, so nothing is kept") from None
        raise type(stop)(f"go on with --resume from {files.shown(kept)}") from None
    return 0


def train(options: argparse.Namespace) -> None:
    """Train a network and leave the results in the folder."""
    check_folder(options.out, options.resume)  # before the data, which may be long in coming
    train_data, test_data = load_data(options.data, options.network, options.augment)
    if options.data[0] == FOLDER:
        classes, name = train_data.num_classes, streams.printable(train_data.name)
        streams.say(f"{len(train_data)} images to train on and {len(test_data)} to test, {classes} classes: {name}")
    if options.quick:
        train_data, test_data = (few.subset(min(len(few), QUICK_EXAMPLES)) for few in (train_data, test_data))
    options.out.mkdir(parents=True, exist_ok=True)
    with alone_in(options.out):
        train_in(options, train_data, test_data)


def train_in(options: argparse.Namespace, train_data: data.Examples, test_data: data.Examples) -> None:
    """Train a network in a folder that no other process trains in."""
    resume = check_folder(options.out, options.resume)
    if options.resume and resume is None:
        streams.tell(f"{files.shown(options.out)} holds no checkpoint yet: starting anew")
    epochs = options.epochs or (QUICK_EPOCHS if options.quick else EPOCHS)
    batch_size = options.batch_size or (64 if len(train_data) < SMALL_DATA else 256)
    ma.manual_seed(options.seed)
    net = models.build(options.network, options.layer, train_data.num_classes, train_data.shape)
    history = ma.fit(
        net,
        data.Loader(
            train_data,
            batch_size,
            shuffle=True,
            transform=augmentation(options.data, options.augment),
            seed=options.seed,
        ),
        data.Loader(test_data, max(1, TEST_PIXELS // math.prod(test_data.shape[-2:]))),
        epochs=epochs,
        optimizer=optim.SGD(
            net.parameters(),
            lr=options.lr,
            momentum=0.9,
            nesterov=True,
            weight_decay=1e-4 if isinstance(train_data, data.ImageFolder) else 5e-4,
            adder_lr=optim.AdaptiveLR(options.eta),
        ),
        p_schedule=optim.LinearP(until=options.p_until) if options.layer == "adder-lp" else None,
        schedule=SCHEDULES[options.schedule](),
        callbacks=[callbacks.Checkpoint(options.out / CHECKPOINT)],
        resume=resume,
        renew_batches=options.renew_batches,
    )
    ma.save(net, options.out / "net.safetensors")
    files.write_file(options.out / "history.json", (json.dumps(history, indent=1) + "\n").encode())
    draw(net, history, train_data, options)
    accuracy, top5 = history[-1]["test_accuracy"] or 0.0, history[-1].get("test_top5_accuracy")
    among_five = "" if top5 is None else f", top-5 {100 * top5:.2f} %,"
    streams.say(
        f"test accuracy {100 * accuracy:.2f} %{among_five} after epoch {epochs}; results in {files.shown(options.out)}"
    )


def draw(net: nn.Module, history: list[Epoch], train_data: data.Examples, options: argparse.Namespace) -> None:
    """Draw the learning curves and the first layer's filters."""
    name = f"{options.network}, {options.layer} layers, {streams.printable(train_data.name)}"
    first = next(parameter for parameter in net.parameters() if parameter.ndim > 1).numpy()
    results.draw(lambda: plot.learning_curves(history, name), options.out / "curves.png")

    def filters() -> Any:
        # a fully-connected filter has an entry for each pixel: it is shown as an image too
        images = first.reshape(-1, *train_data.shape) if first.ndim == 2 else first
        return plot.filter_grid(images, f"filters of the first layer: {name}")

    results.draw(filters, options.out / "filters.png")
