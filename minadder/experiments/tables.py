"""All tables that `minadder sweep` knows."""

from __future__ import annotations

from minadder.experiments.ablation import ABLATION
from minadder.experiments.eta import ETA
from minadder.experiments.kinds import KINDS

TABLES = {table.name: table for table in (ETA, ABLATION, KINDS)}
"""The tables by name."""
