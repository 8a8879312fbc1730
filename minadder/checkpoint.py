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
from minadder.files import write_file
from minadder.nn import Module
from minadder.optim.optimizer import Optimizer

KEY = "minadder"
"""The one entry of the metadata: with several, safetensors would write them in an order that differs each time."""

LENGTH_BYTES = 8
MOST_HEADER_BYTES = 100_000_000
FORMAT = 1


def content_digest(arrays: Mapping[str, Array], state: Any) -> str:
    """Return the SHA-256 over the state, and names, dtypes, shapes and values of the arrays."""
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_arrays(path: str | Path, arrays: Mapping[str, Array], state: Any = None) -> None:
    """Write arrays, and a state that JSON can hold, to a safetensors file with a digest over both."""
    from safetensors.numpy import save

    metadata = {KEY: json.dumps({"sha256": content_digest(arrays, state), "state": state})}
    write_file(path, save({name: np.asarray(array, order="C") for name, array in arrays.items()}, metadata))


def read_arrays(path: str | Path) -> tuple[dict[str, Array], Any]:
    """Return the arrays of a safetensors file, and the state that `write_arrays` put beside them (None without one).

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When it is truncated, altered, or no safetensors file; the message names the file and the fault.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    place = Path(path)
    if not place.is_file():
        raise FileNotFoundError(f"{place}: there is no such file")
    content = place.read_bytes()
    header = read_header(place, content)
    try:
        arrays = load(content)
    except KeyError as error:
        raise ValueError(f"{place}: NumPy has no dtype {error.args[0]}; convert the arrays to float32 first") from None
    except (SafetensorError, ValueError, TypeError) as error:
        raise ValueError(f"{place}: not a whole safetensors file ({error}); it is truncated or altered") from None
    metadata = header.get("__metadata__", {})
    if KEY not in metadata:
        return arrays, None  # by another program, which keeps no digest
    try:
        kept = json.loads(metadata[KEY])
        written, state = kept["sha256"], kept["state"]
    except (json.JSONDecodeError, RecursionError, KeyError, TypeError) as error:
        raise ValueError(f"{place}: its metadata cannot be read ({error!r}); it was altered") from None
    found = content_digest(arrays, state)
    if written != found:
        raise ValueError(
            f"{place}: the content does not match its SHA-256 (the file says {str(written)[:16]}…, the content gives "
            f"{found[:16]}…); the file was altered"
        )
    return arrays, state


def read_header(place: Path, content: bytes) -> dict[str, Any]:
    """Return the JSON header of a safetensors file, its length checked before it is believed."""
    if len(content) < LENGTH_BYTES:
        raise ValueError(f"{place}: {len(content)} byte(s) are too few for a safetensors file; it is truncated")
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    if length > min(len(content) - LENGTH_BYTES, MOST_HEADER_BYTES):
        raise ValueError(
            f"{place}: the header claims {length} bytes, but the file has {len(content)}; "
            f"it is truncated, altered, or no safetensors file"
        )
    try:
        header = json.loads(content[LENGTH_BYTES : LENGTH_BYTES + length])
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{place}: the header is not JSON ({error}); altered, or no safetensors file") from None
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(f"{place}: the header is not one of a safetensors file; it was altered")
    assert isinstance(header, dict)
    return header


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
    write_arrays(path, net.state_dict())


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
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is damaged, or a name, shape or dtype does not fit the network.
    """
    arrays, _ = read_arrays(path)
    try:
        net.load_state_dict(arrays)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


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


def read_training(path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and the state of a file by `save_training`, checked; `restore_training` puts them to use."""
    arrays, state = read_arrays(path)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path}: not a training checkpoint of format {FORMAT}; was it written by ma.save?")
    return arrays, state


def restore_training(arrays: dict[str, Array], state: dict[str, Any], net: Module, optimizer: Optimizer) -> None:
    """Put network, optimiser and random generator back to where `save_training` found them."""
    parts: dict[str, dict[str, Array]] = {"net": {}, "optimizer": {}}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = array
    net.load_state_dict(parts["net"])
    optimizer.load_state_dict({**state["optimizer"], "arrays": parts["optimizer"]})
    random.set_generator_state(state["random"])
