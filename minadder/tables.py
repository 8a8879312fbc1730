"""Tables as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 120
"""Characters that a line holds at most."""


def table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    r"""Return a title and a table, the first column to the left, the others to the right, each as wide as it needs.

    Raises
    ------
    ValueError
        When it would be wider than 120 columns.

    Examples
    --------
    >>> from minadder.tables import table
    >>> print(*table("ages", ["name", "age"], [["Ada", "36"]]), sep="\n")
    <BLANKLINE>
    ages
    name  age
    ---------
    Ada    36
    """
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    lines = [
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in (headers, *rows)
    ]
    widest = max(map(len, [title, *lines]))
    if widest > WIDTH:
        raise ValueError(f"the table {title!r} is {widest} columns wide, more than {WIDTH}")
    return ["", title, lines[0], "-" * len(lines[0]), *lines[1:]]
