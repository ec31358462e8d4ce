"""Values of rma.mv and clubSandwich, and the same fits made here; neither tests nor fixtures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from ketameta import multilevel

STORED = json.loads((Path(__file__).parent / "reference" / "dependence.json").read_text("utf-8"))
REFERENCE = STORED["datasets"]
FITS = [(key, name) for key, data in REFERENCE.items() for name in data["fits"]]
MODERATORS = {"deltype": ["general", "overt"], "year": ["year"], "time": ["time"]}


def reference_fit(key, name, **options):
    data = REFERENCE[key]["inputs"]
    columns = next((MODERATORS[word] for word in MODERATORS if word in name), None)
    correlation = re.search(r"che_([\d.]+)", name)
    return multilevel(
        data["yi"],
        data["vi"],
        data["cluster"],
        data["effect"],
        moderators=None if columns is None else np.column_stack([data[c] for c in columns]),
        names=columns,
        method=name.rsplit("_", 1)[1],
        rho=float(correlation[1]) if correlation else None,
        **options,
    )
