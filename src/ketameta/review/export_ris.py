"""References of all trials in the RIS format, for reference managers and for RevMan."""

from __future__ import annotations

from ketameta.analyses.rows import study_label
from ketameta.evidence import Evidence, Row

#: RIS type by kind of source; anything else is GEN.
_TYPES = {"journal": "JOUR", "dataset": "DATA", "registry": "DBASE"}


def references(evidence: Evidence) -> str:
    """Return one RIS record per trial, in order of their names.

    Notes
    -----
    Citations are free text in the tables, so that the whole citation stands in ``TI`` and is not
    cut into authors and title by guessing. ``ID`` is the trial's name here, ``ST`` the label that
    the figures print.
    """
    rows = sorted(evidence.rows("studies"), key=lambda row: row["study_id"])
    return "".join(_record(row) for row in rows)


def _record(row: Row) -> str:
    lines = [
        ("TY", _TYPES.get(row["source_type"], "GEN")),
        ("ID", row["study_id"]),
        ("TI", row["citation"]),
        ("ST", study_label(row["study_id"])),
        ("PY", row["year"]),
        ("DO", row["doi"]),
        ("AN", f"PMID {row['pmid']}" if row["pmid"] else ""),
        ("C1", row["registry_id"]),
        ("UR", row["source_url"]),
    ]
    # RIS ends lines with CRLF; ER has no value.
    texts = [f"{tag}  - {' '.join(value.split())}\r\n" for tag, value in lines if value]
    return "".join(texts) + "ER  - \r\n"
