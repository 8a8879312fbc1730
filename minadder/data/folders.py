"""Where data sets that are files are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from minadder.files import as_path, shown


def cache_folder() -> Path | None:
    """Where fetched data is kept: ``$XDG_CACHE_HOME/minadder``, or ``~/.cache/minadder`` where that is unset.

    None where it is unset and the user has no home folder, as one of a container may have none.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    base = as_path(named, "XDG_CACHE_HOME") if named else Path()
    if not base.is_absolute():  # the XDG specification tells to ignore a relative path
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return base / "minadder" if base.is_absolute() else None  # HOME may be anything


def data_folders(name: str) -> list[Path]:
    """The folders of a data set: ``$MINADDER_DATA``, the folder ``name`` in it, and the same in the cache folder."""
    named, cache = os.environ.get("MINADDER_DATA"), cache_folder()
    roots = [as_path(named, "MINADDER_DATA")] if named else []
    return [folder for root in [*roots, *([cache] if cache else [])] for folder in (root, root / name)]


def where_to_put(name: str) -> str:
    """The folders in words, with a hint at the variable where it is not set."""
    folders = [shown(folder) for folder in data_folders(name)]
    if not os.environ.get("MINADDER_DATA"):
        folders.append("or a folder that MINADDER_DATA names" if folders else "a folder that MINADDER_DATA names")
    return ", ".join(folders)
