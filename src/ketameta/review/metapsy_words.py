"""Words of the Metapsy format and what they are called here. Translates, and decides nothing."""

from __future__ import annotations

from collections.abc import Mapping

from ketameta.review.start import slug

#: Columns without which a file is not in the Metapsy format.
SIGNATURE = ("study", "condition_arm1", "condition_arm2", "outcome_type", "instrument")
DIAGNOSES: Mapping[str, str] = {
    "mdd": "major_depression",
    "trd": "major_depression",
    "dep": "depression_mixed",
    "bd": "bipolar_depression",
    "aud": "alcohol_use_disorder",
    "ptsd": "ptsd",
    "sad": "social_anxiety",
    "ocd": "ocd",
    "adhd": "adhd",
    "asd": "autism",
}
#: Diagnoses that say something about earlier treatment.
RESISTANT = frozenset({"trd", "tr-mdd"})
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
_CLASSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("nmda_antagonist", ("ketamine", "esketamine", "memantine", "amantadine", "dextromethorphan")),
    ("active_placebo", ("niacin", "ncn", "midazolam", "diphenhydramine", "active_placebo")),
    ("placebo", ("placebo", "pcb", "plac", "pbo", "saline", "mannitol", "lactose", "sham")),
    ("no_treatment", ("waitlist", "waiting_list", "wait_list", "wl", "wlc", "no_treatment")),
    ("usual_care", ("cau", "tau", "usual_care", "treatment_as_usual", "care_as_usual")),
    ("psychotherapy", ("cbt", "mbsr", "psychotherapy", "ipt", "act", "bat", "pst", "dyn")),
    (
        "antidepressant",
        (
            *("escitalopram", "citalopram", "sertraline", "fluoxetine", "paroxetine"),
            *("venlafaxine", "duloxetine", "bupropion", "mirtazapine", "ssri", "esc"),
        ),
    ),
    ("ect", ("ect", "electroconvulsive_therapy")),
    ("stimulant", ("methylphenidate", "lisdexamfetamine", "amphetamine", "dexamphetamine")),
)


def drug_class(*texts: str) -> str:
    """Return the class of an intervention by its name, or nothing where the name is not known."""
    for text in texts:
        word = slug(text)
        for name, members in _CLASSES:
            if word in members:
                return name
    return ""
