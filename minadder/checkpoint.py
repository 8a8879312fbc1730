"""Files that hold networks and training states: safetensors, written whole or not at all, checked when read.

Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minadder import random
from minadder.autograd import Array
from minadder.checks import instance
from minadder.files import as_path, open_file, shown, write_file
from minadder.nn import Module
from minadder.optim.optimizer import Optimizer
from minadder.safetensors_header import parse, read_header

KEY = "minadder"
"""The one entry of the metadata: with several, safetensors would write them in an order that differs each time."""

FORMAT = 1
ENTRIES = {"format", "optimizer", "random", "progress"}
"""Of the state in a training checkpoint."""
MOST_BYTES = 1 << 32
"""How many bytes the arrays of a file may take that is read for no network in particular."""
SMALL_BYTES = 1 << 26
"""How many they may take in the file of any network; of a large one it is `TIMES` as many as its own take."""
TIMES = 64
"""More than any optimiser remembers of a parameter."""
PYTORCHS_STARTS = (b"PK\x03\x04", b"\x80\x02\x8a\x0a")
"""How files of `torch.save` begin, of now and of before 1.6."""
PYTORCHS_SUFFIXES = (".pth", ".pt", ".bin")


def content_digest(arrays: Mapping[str, Array], state: Any) -> str:
    """Return the SHA-256 over the state, and names, dtypes, shapes and values of the arrays."""
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_arrays(path: str | Path, arrays: Mapping[str, Array], state: Any = None) -> None:
    """Write arrays, and a state that JSON can hold, to a safetensors file with a digest over both.

    Raises
    ------
    OSError
        When the file cannot be written.
    TypeError, ValueError
        For an array of a dtype, or with a name, that safetensors cannot hold, and a state that JSON cannot.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save

    if "__metadata__" in arrays:
        raise ValueError("no array in a safetensors file can have the name '__metadata__'")
    kept = {name: np.asarray(array, array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()}
    metadata = {KEY: json.dumps({"sha256": content_digest(kept, state), "state": state})}
    try:
        content = save(kept, metadata)
    except SafetensorError as error:
        dtypes = {name: str(array.dtype) for name, array in kept.items()}
        raise TypeError(f"safetensors cannot hold arrays of these dtypes, {dtypes}: {error}") from None
    write_file(path, content)


def read_arrays(path: str | Path, most: int = MOST_BYTES) -> tuple[dict[str, Array], Any]:
    """Return the arrays of a safetensors file, and the state that `write_arrays` put beside them (None without one).

    Parameters
    ----------
    path
        The file.
    most
        How many bytes its arrays may take; of a larger one no more than the header is read.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, OSError
        When there is no such file, when it is a folder, when it cannot be read or is no ordinary file.
    ValueError
        When it is truncated, altered, too large, or no safetensors file; the message names the file and the fault.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    place = as_path(path)
    with open_file(place) as file:
        metadata = read_header(file, place, most).get("__metadata__", {})
        file.seek(0)
        content = file.read()
    try:
        arrays = load(content)
    except KeyError as error:
        raise ValueError(
            f"{shown(place)}: NumPy has no dtype {error.args[0]}; convert the arrays to float32 first"
        ) from None
    except (SafetensorError, ValueError, TypeError) as error:
        raise ValueError(
            f"{shown(place)}: not a whole safetensors file ({shown(str(error))}); it is truncated or altered"
        ) from None
    if KEY not in metadata:
        return arrays, None  # by another program, which keeps no digest
    try:
        kept = parse(metadata[KEY])
        written, state = kept["sha256"], kept["state"]
        found = content_digest(arrays, state)
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ValueError(f"{shown(place)}: its metadata cannot be read ({error!r}); it was altered") from None
    if written != found:
        raise ValueError(
            f"{shown(place)}: the content does not match its SHA-256 (the file says {shown(str(written)[:16])}…, the "
            f"content gives {found[:16]}…); the file was altered"
        )
    return arrays, state


def save(net: Module, path: str | Path) -> None:
    """Save a network's parameters and buffers to a safetensors file, whole or not at all.

    Parameters
    ----------
    net
        The network.
    path
        The file; PyTorch's safetensors reads it too.

    Raises
    ------
    OSError
        When the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import minadder as ma
    >>> from minadder import nn
    >>> net, other = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ma.save(net, f"{folder}/net.safetensors")
    ...     ma.load(other, f"{folder}/net.safetensors")
    >>> bool((net.weight == other.weight).all())
    True
    """
    write_arrays(path, instance(net, "net", Module, "a network (an nn.Module)").state_dict())


def load(net: Module, path: str | Path) -> None:
    """Load a network's parameters and buffers from a safetensors file; nothing changes unless everything fits.

    Parameters
    ----------
    net
        The network, built as the saved one was.
    path
        A file by `ma.save` or by PyTorch's safetensors.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, OSError
        When there is no such file, when it is a folder, when it cannot be read.
    ValueError
        When the file is damaged, far too large, by `torch.save`, or a name, shape or dtype does not fit the network.
    """
    instance(net, "net", Module, "a network (an nn.Module)")
    try:
        arrays, _ = read_arrays(path, most_for(net))
    except ValueError:
        refuse_pytorchs(as_path(path))
        raise
    try:
        net.load_state_dict(arrays)
    except ValueError as error:
        raise ValueError(f"{shown(as_path(path))}: {error}") from None


def refuse_pytorchs(place: Path) -> None:
    """Raise ValueError for a file that goes by its first bytes or its name for one of `torch.save`."""
    with open_file(place) as file:
        start = file.read(4)
    if start in PYTORCHS_STARTS or place.suffix in PYTORCHS_SUFFIXES:
        raise ValueError(
            f"{shown(place)}: no safetensors file; if it is by torch.save, which needs PyTorch to be read: "
            f"net.from_torch(torch.load({str(place)!r}, map_location='cpu', weights_only=True))"
        ) from None


def most_for(net: Module) -> int:
    """Return how many bytes the arrays in a file may take that is read for a network."""
    own = sum(parameter.numpy().nbytes for parameter in net.parameters())
    own += sum(array.nbytes for _, array in net.named_buffers())
    return max(SMALL_BYTES, TIMES * own)


def save_training(path: str | Path, net: Module, optimizer: Optimizer, progress: dict[str, Any]) -> None:
    """Save all that training needs to go on with the same bits: network, optimiser, random state and progress.

    Parameters
    ----------
    path
        The file.
    net, optimizer
        What is trained, and by what.
    progress
        What else shall be kept, as JSON can hold it.
    """
    state = optimizer.state_dict()
    arrays = {f"net/{name}": array for name, array in net.state_dict().items()}
    arrays |= {f"optimizer/{name}": array for name, array in state.pop("arrays").items()}
    kept = {"format": FORMAT, "optimizer": state, "random": random.generator_state(), "progress": progress}
    write_arrays(path, arrays, kept)


def read_training(path: str | Path, most: int = MOST_BYTES) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and the state of a file by `save_training`, checked; `restore_training` puts them to use.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, OSError, ValueError
        As `read_arrays`, and for a file of another kind.
    """
    arrays, state = read_arrays(path, most)
    try:
        check_entries(state)
    except ValueError as error:
        raise ValueError(f"{shown(as_path(path))}: {error}") from None
    return arrays, state


def check_entries(state: Any) -> None:
    """Raise ValueError for the state of another file than a training checkpoint."""
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"not a training checkpoint of format {FORMAT}; was it written by ma.save?")
    if set(state) != ENTRIES or not isinstance(state["optimizer"], dict):
        raise ValueError(f"not what save_training writes: it must have the entries {', '.join(sorted(ENTRIES))}")


def restore_training(arrays: dict[str, Array], state: dict[str, Any], net: Module, optimizer: Optimizer) -> None:
    """Put network, optimiser and random generator back to where `save_training` found them.

    Raises
    ------
    ValueError
        When something does not fit or cannot be what `save_training` wrote. Nothing is changed then.
    """
    check_entries(state)
    parts: dict[str, dict[str, Array]] = {"net": {}, "optimizer": {}}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        if part not in parts:
            raise ValueError(f"the array {name!r} is neither of a network nor of an optimiser")
        parts[part][rest] = array
    random.check_generator_state(state["random"])
    before = net.state_dict()
    lacking = sorted(before.keys() - parts["net"].keys())
    if lacking:  # some of which a network can do without, but not a training that shall go on with the same bits
        raise ValueError(f"the state of the network lacks {', '.join(lacking)}")
    net.load_state_dict(parts["net"])
    try:
        optimizer.load_state_dict({**state["optimizer"], "arrays": parts["optimizer"]})
    except Exception as error:  # what is of another type fails in many ways, but before anything is changed
        net.load_state_dict(before)
        raise ValueError(f"the optimiser's state cannot be restored ({type(error).__name__}: {error})") from None
    random.set_generator_state(state["random"])
