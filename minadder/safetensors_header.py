"""The header of a safetensors file, judged before memory is taken for what it promises."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from minadder.files import shown

LENGTH_BYTES = 8
MOST_HEADER_BYTES = 100_000_000


def read_header(file: BinaryIO, place: Path, most: int) -> dict[str, Any]:
    """Return the header of a safetensors file, from whose beginning it is read.

    The arrays that it lists must end where the file ends, and take `most` bytes at most. That they fit beside each
    other, and their dtypes, are left to the safetensors package, which has the content in memory then.

    Raises
    ------
    ValueError
        Which names the file, for anything else.
    """
    size = os.fstat(file.fileno()).st_size
    if size < LENGTH_BYTES:
        raise ValueError(f"{shown(place)}: {size} byte(s) are too few for a safetensors file; it is truncated")
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    rest = size - LENGTH_BYTES - length
    if length > MOST_HEADER_BYTES or rest < 0:
        raise ValueError(
            f"{shown(place)}: the header claims {length} bytes, but the file has {size}; "
            f"it is truncated, altered, or no safetensors file"
        )
    try:
        header = parse(file.read(length))
    except ValueError as error:
        raise ValueError(f"{shown(place)}: the header is not JSON ({error}); altered, or no safetensors file") from None
    fault = fault_of(header, rest)
    if fault:
        raise ValueError(f"{shown(place)}: {fault}; it is truncated, altered, or no safetensors file")
    if rest > most:
        raise ValueError(
            f"{shown(place)}: its arrays take {rest:,} bytes, and {most:,} at most are expected here; is it of another "
            f"network?"
        )
    checked: dict[str, Any] = header
    return checked


def fault_of(header: Any, rest: int) -> str:
    """Return what is wrong with a header behind which so many bytes lie, "" where nothing is."""
    if not isinstance(header, dict):
        return "the header is not one of a safetensors file"
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        return "the header's metadata are not those of a safetensors file"
    end = 0
    for name in header.keys() - {"__metadata__"}:
        try:
            _, last = offsets = header[name]["data_offsets"]
        except (KeyError, TypeError, ValueError):
            return f"the header does not say where {name!r} lies"
        if not all(type(offset) is int and 0 <= offset <= rest for offset in offsets):
            return f"the header says that {name!r} lies where nothing lies in a file with {rest} bytes of arrays"
        end = max(end, last)
    return "" if end == rest else f"the arrays in the header end after {end} bytes, those of the file after {rest}"


def parse(text: str | bytes) -> Any:
    """Return what JSON says; ValueError for anything that is none, too deep, or says two things under one name."""
    try:
        return json.loads(text, object_pairs_hook=without_twins)
    except RecursionError:
        raise ValueError("too many brackets lie in one another") from None


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dictionary of names and values; ValueError for a name that occurs twice."""
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there more than once")
    return result
