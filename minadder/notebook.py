"""Notebooks: whether this process is one's kernel, and a line in its output that is written anew in place."""

from __future__ import annotations

import sys
from typing import Any


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, without importing anything."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class LiveLine:
    """One line of a notebook's output, of which only the latest text is seen; it is made by its first text."""

    def __init__(self) -> None:
        self._handle: Any = None

    def write(self, text: str) -> None:
        """Show a text in place of the one before."""
        from IPython.display import display

        content = {"text/plain": text}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
