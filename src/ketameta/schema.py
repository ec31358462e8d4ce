"""Every column of every table, once: type, unit, allowed words, meaning.

Feeds the checks, the data dictionary and the empty templates. Reads no file.
"""

from __future__ import annotations

from ketameta.schema_batch import ARMS, CONTRASTS, OUTCOMES, RISK_OF_BIAS, STUDIES
from ketameta.schema_columns import (
    STUDY_ID_PATTERN,
    WORD_PATTERN,
    Column,
    ColumnType,
    Table,
)
from ketameta.schema_shared import EXCLUSIONS, INSTRUMENTS, OUTCOME_WORDS, REGISTRY

__all__ = [
    "ARMS",
    "BATCH_TABLES",
    "CONTRASTS",
    "EXCLUSIONS",
    "INSTRUMENTS",
    "OUTCOMES",
    "OUTCOME_WORDS",
    "REGISTRY",
    "RISK_OF_BIAS",
    "SHARED_TABLES",
    "STUDIES",
    "STUDY_ID_PATTERN",
    "WORD_PATTERN",
    "Column",
    "ColumnType",
    "Table",
]

#: Tables of a batch folder, in reading order.
BATCH_TABLES: tuple[Table, ...] = (STUDIES, ARMS, OUTCOMES, CONTRASTS, RISK_OF_BIAS)
#: Tables that stand once, in ``data/``.
SHARED_TABLES: tuple[Table, ...] = (OUTCOME_WORDS, INSTRUMENTS, EXCLUSIONS, REGISTRY)
