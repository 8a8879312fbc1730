"""Where data sets that are files are looked for."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where fetched data is kept: ``$XDG_CACHE_HOME/minadder``, or ``~/.cache/minadder`` where that is unset."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification tells to ignore a relative path.
    return (base if base.is_absolute() else Path.home() / ".cache") / "minadder"


def data_folders(name: str) -> list[Path]:
    """The folders of a data set: ``$MINADDER_DATA``, the folder ``name`` in it, and the same in the cache folder."""
    roots = [cache_folder()]
    if os.environ.get("MINADDER_DATA"):
        roots.insert(0, Path(os.environ["MINADDER_DATA"]))
    return [folder for root in roots for folder in (root, root / name)]


def where_to_put(name: str) -> str:
    """The folders in words, with a hint at the variable where it is not set."""
    hint = "" if os.environ.get("MINADDER_DATA") else ", or a folder that MINADDER_DATA names"
    return ", ".join(map(str, data_folders(name))) + hint
