"""Words of the Metapsy format and what they are called here. Translates, and decides nothing."""

from __future__ import annotations

from collections.abc import Mapping

from ketameta.review.start import slug
from ketameta.review.words_file import Declared

#: Columns without which a file is not in the Metapsy format.
SIGNATURE = ("study", "condition_arm1", "condition_arm2", "outcome_type", "instrument")
BLINDING: Mapping[str, str] = {
    "double-blind": "double_blind",
    "triple-blind": "double_blind",
    "quadruple-blind": "double_blind",
    "single-blind": "single_blind",
    "open-label": "open_label",
    "open label": "open_label",
}
JUDGEMENTS: Mapping[str, str] = {
    "low": "low",
    "low risk": "low",
    "some concerns": "some_concerns",
    "high": "high",
    "high risk": "high",
    "unclear": "unclear",
    "unclear risk": "unclear",
}
#: The five domains of RoB 2 in the order of its columns d1 to d5.
ROB2_DOMAINS: Mapping[str, str] = {
    "d1": "randomisation",
    "d2": "deviations",
    "d3": "missing_data",
    "d4": "measurement",
    "d5": "selection",
    "rob": "overall",
}
#: Names of control arms.
_CLASSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("active_placebo", ("active_placebo",)),
    ("placebo", ("placebo", "pcb", "plac", "pbo", "saline", "mannitol", "lactose", "sham")),
    ("no_treatment", ("waitlist", "waiting_list", "wait_list", "wl", "wlc", "no_treatment")),
    ("usual_care", ("cau", "tau", "usual_care", "treatment_as_usual", "care_as_usual")),
)


def drug_class(declared: Declared, *texts: str) -> str:
    """Return the class of an intervention by its name, or nothing where the name is not known."""
    for text in texts:
        word = slug(text)
        if meaning := declared.meaning("drug_class", word):
            return meaning
        for name, members in _CLASSES:
            if word in members:
                return name
    return ""
