"""All tables that `minadder sweep` knows."""

from __future__ import annotations

from minadder.experiments.ablation import ABLATION, ABLATION_LESS_DECAY
from minadder.experiments.eta import ETA
from minadder.experiments.kinds import KINDS
from minadder.experiments.p_decay import P_DECAY
from minadder.experiments.v2_ablation import V2_ABLATION

TABLES = {table.name: table for table in (ETA, ABLATION, ABLATION_LESS_DECAY, V2_ABLATION, P_DECAY, KINDS)}
"""The tables by name."""
