"""Where data sets that are files are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from minadder.environment import cache_root
from minadder.files import as_path, shown


def data_folders(name: str) -> list[Path]:
    """The folders of a data set: ``$MINADDER_DATA``, the folder ``name`` in it, and the same in the cache folder."""
    named, cache = os.environ.get("MINADDER_DATA"), cache_root()
    roots = [as_path(named, "MINADDER_DATA")] if named else []
    return [folder for root in [*roots, *([cache] if cache else [])] for folder in (root, root / name)]


def where_to_put(name: str) -> str:
    """The folders in words, with a hint at the variable where it is not set."""
    folders = [shown(folder) for folder in data_folders(name)]
    if not os.environ.get("MINADDER_DATA"):
        folders.append("or a folder that MINADDER_DATA names" if folders else "a folder that MINADDER_DATA names")
    return ", ".join(folders)
