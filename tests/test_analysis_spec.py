"""Analysis files: all problems of a file at once, each with its key, its value and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from helpers import ANALYSIS, PROJECT, ROOT, arm_size, problem_lines, spec_of, write_analysis
from ketameta.analyses import MODERATORS, AnalysisSpec, load_spec, load_specs
from ketameta.errors import SpecError
from ketameta.evidence import Evidence
from ketameta.inputs import known_words
from ketameta.measures import Measure

KNOWN = {
    "outcome": ["depression", "nausea"],
    "instrument": ["hamd", "madrs"],
    "intervention": ["ketamine", "esketamine", "placebo"],
    "comparator": ["ketamine", "esketamine", "placebo"],
    "study_id": ["alder_2014", "birch_2016"],
    "drug_class": ["nmda_antagonist", "stimulant", "placebo"],
}


def problems(folder: Path, text: str, name: str = "demo") -> list[str]:
    """Return what is said of the file, a line each."""
    with pytest.raises(SpecError) as caught:
        load_spec(write_analysis(folder / "analyses", name, text), KNOWN, PROJECT)
    assert {item.file for item in caught.value.findings} == {f"analyses/{name}.toml"}
    return problem_lines(caught.value)


# --- good files -----------------------------------------------------------------------------------


def test_a_short_file_gets_the_declared_defaults(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    assert (spec.name, spec.section, spec.kind) == ("demo", "mood", "pooled")
    assert spec.model.measure is Measure.SMD
    assert spec.model.tau2_method == "REML"
    assert spec.model.ci_method == "knapp-hartung-conservative"
    assert spec.model.level == 0.95
    assert spec.model.overall
    assert spec.choose.time == "latest"
    assert spec.assume.correlation is None and spec.assume.arm_sizes == ()
    assert spec.favours == ("Favours ketamine", "Favours control")


def test_a_spec_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        spec_of(tmp_path).title = "other"  # type: ignore[misc]


def test_every_part_of_a_file_arrives(tmp_path: Path) -> None:
    spec = spec_of(
        tmp_path,
        """comparator_class = ["placebo"]
data_kind = ["change"]
min_days = 0.5
max_days = 2
within = true
subgroup_keys = ["sex"]
exclude = { alder_2014 = "retracted" }

[choose]
time = "nearest"
days = 1
instrument = ["madrs", "hamd"]
overlap_prefer = ["birch_2016"]

[model]
measure = "MD"
tau2_method = "PM"
ci_method = "wald"
level = 0.9
group_by = "drug_class"
group_order = ["nmda_antagonist"]
overall = false
important_difference = -3
tau_prior_scale = 5

[assume]
correlation = 0.5

[[assume.arm_size]]
study_id = "alder_2014"
arm_id = "ketamine"
n = 30
reason = "as randomised"
""",
    )
    assert spec.select.exclude == {"alder_2014": "retracted"}
    assert (spec.select.min_days, spec.select.max_days, spec.select.within) == (0.5, 2.0, True)
    assert (spec.choose.time, spec.choose.days) == ("nearest", 1.0)
    assert spec.choose.instrument == ("madrs", "hamd")
    assert (spec.model.measure, spec.model.level) == (Measure.MD, 0.9)
    assert (spec.model.overall, spec.model.tau_prior_scale) == (False, 5.0)
    assert spec.assume.correlation == 0.5
    assert spec.assume.arm_sizes == (arm_size("alder_2014", "ketamine", "", 30, "as randomised"),)


@pytest.mark.parametrize("group_by", ["outcome", "instrument"])
def test_different_measurements_of_the_same_people_are_not_pooled_by_default(
    tmp_path: Path, group_by: str
) -> None:
    text = ANALYSIS.replace('["depression"]', '["depression", "anxiety"]')
    assert not spec_of(tmp_path, f'[model]\ngroup_by = "{group_by}"\n', text).model.overall


@pytest.mark.parametrize("group_by", sorted(set(MODERATORS) - {"outcome", "instrument"}))
def test_other_groups_are(tmp_path: Path, group_by: str) -> None:
    text = ANALYSIS.replace('["ketamine"]', '["ketamine", "esketamine"]')
    assert spec_of(tmp_path, f'[model]\ngroup_by = "{group_by}"\n', text).model.overall


def test_analyses_come_in_report_order(tmp_path: Path) -> None:
    for name, section, order in (
        ("late", "harms", 1), ("second", "adhd", 2), ("first", "adhd", 1), ("also_first", "adhd", 1)
    ):  # fmt: skip
        text = ANALYSIS.replace('"mood"', f'"{section}"').replace("order = 1", f"order = {order}")
        write_analysis(tmp_path, name, text)
    assert [spec.name for spec in load_specs(tmp_path)] == [
        "also_first", "first", "second", "late",
    ]  # fmt: skip


# --- bad files ------------------------------------------------------------------------------------


def test_everything_wrong_with_a_file_is_said_at_once(tmp_path: Path) -> None:
    lines = problems(
        tmp_path,
        """title = ""
question = 3
section = "mod"
order = "first"
directness = "indirect"
status = "planned"
favours = ["one"]
sellect = 1

[select]
outcome = ["depresion"]
drug_clas = ["stimulant"]
intervention = "ketamine"
design = ["paralel_rct"]
min_days = 9
max_days = 2

[choose]
time = "last"

[model]
measure = "smd"
tau2_method = "REMl"
level = 95

[assume]
correlation = 1.5
""",
    )
    starts = [
        "sellect: no such key; did you mean select?",
        "select.drug_clas: no such key; did you mean drug_class?",
        "select.outcome: 'depresion' is not known; did you mean depression?",
        "select.intervention: a list of texts is needed",
        "select.design: 'paralel_rct' is not known; did you mean parallel_rct?",
        "select: min_days 9 is above max_days 2",
        "choose.time is 'last'; choose one of latest, earliest, nearest",
        "model.measure is 'smd'",
        "model.tau2_method is 'REMl'; choose one of DL, PM,",
        "model.level is 95",
        "favours: two texts",
        "title: a text is needed",
        "looked_for: a text is needed",
        "question: a text is needed",
        "section is 'mod'; choose one of adhd,",
        "order is 'first'; a number is needed",
        "status is 'planned'",
        "assume.correlation is 1.5",
    ]
    unsaid = [start for start in starts if not any(line.startswith(start) for line in lines)]
    assert unsaid == []
    assert len(lines) == len(starts)
    assert any(line.endswith("did you mean REML?") for line in lines)
    assert any(line.endswith("did you mean mood?") for line in lines)


#: What is added to a good file, and what must be said about it.
BAD: dict[str, tuple[str, str]] = {
    "unknown study left out": (
        'exclude = { alder_2015 = "why" }',
        "select.exclude: no study 'alder_2015'; did you mean alder_2014?",
    ),
    "exclusion without a reason": (
        'exclude = { alder_2014 = "" }',
        "select.exclude: say why alder_2014 is left out",
    ),
    "exclusion as a list": ('exclude = ["alder_2014"]', "select.exclude: a table such as"),
    "yes is not true": ('within = "yes"', "select.within is 'yes'; true or false is needed"),
    "within nothing": ("within = true", "select.within: name the subgroup_keys"),
    "infinite time": ("min_days = inf", "select.min_days is inf; a number is needed"),
    "no number": ("max_days = nan", "select.max_days is nan; a number is needed"),
    "true is not a number": ("min_days = true", "select.min_days is true; a number is needed"),
    "unknown class": ('drug_class = ["ketamine"]', "select.drug_class: 'ketamine' is not known"),
    "mixed scores": (
        'data_kind = ["endpoint", "change"]',
        "select.data_kind: endpoint and change scores are never mixed in one SMD analysis",
    ),
    "nearest to nothing": ('[choose]\ntime = "nearest"', "choose.time is 'nearest'; say to which"),
    "unknown scale": (
        '[choose]\ninstrument = ["hamdd"]',
        "choose.instrument: 'hamdd' is not known",
    ),
    "unknown preferred study": (
        '[choose]\noverlap_prefer = ["cedar_2017"]',
        "choose.overlap_prefer: 'cedar_2017' is not known",
    ),
    "overall as a word": (
        '[model]\noverall = "no"',
        "model.overall is 'no'; true or false is needed",
    ),
    "no such moderator": (
        '[model]\ngroup_by = "drugclass"',
        "model.group_by: 'drugclass' is not a moderator; did you mean drug_class?",
    ),
    "groups of a list": ('[model]\ngroup_by = ["drug_class"]', "model.group_by: ['drug_class']"),
    "level of one": ("[model]\nlevel = 1.0", "model.level is 1; a share between 0.5 and 1"),
    "flat prior": ("[model]\ntau_prior_scale = 0", "model.tau_prior_scale is 0; a number above 0"),
    "negative prior": ("[model]\ntau_prior_scale = -1", "model.tau_prior_scale is -1"),
    "unknown key of the model": ("[model]\nestimator = 1", "model.estimator: no such key"),
    "correlation of one": ("[assume]\ncorrelation = 1", "assume.correlation is 1"),
    "sizes that are no tables": ("[assume]\narm_size = 3", "assume.arm_size: write [[assume.arm"),
    "size of an unknown study": (
        '[[assume.arm_size]]\nstudy_id = "alder_2015"\narm_id = "a"\nn = 30\nreason = "x"',
        "assume.arm_size.study_id: 'alder_2015' is not known; did you mean alder_2014?",
    ),
    "size of one": (
        '[[assume.arm_size]]\nstudy_id = "alder_2014"\narm_id = "a"\nn = 1\nreason = "x"',
        "assume.arm_size.n is 1; a whole number from 2 is needed",
    ),
    "size in halves": (
        '[[assume.arm_size]]\nstudy_id = "alder_2014"\narm_id = "a"\nn = 30.5\nreason = "x"',
        "assume.arm_size.n is 30.5; a whole number from 2 is needed",
    ),
    "size without a reason": (
        '[[assume.arm_size]]\nstudy_id = "alder_2014"\narm_id = "a"\nn = 30',
        "assume.arm_size.reason: a text is needed",
    ),
}


@pytest.mark.parametrize(("more", "start"), BAD.values(), ids=list(BAD))
def test_each_kind_of_mistake_is_said_alone(tmp_path: Path, more: str, start: str) -> None:
    lines = problems(tmp_path, ANALYSIS + more + "\n")
    assert [line for line in lines if line.startswith(start)], lines
    assert len(lines) == 1, lines


@pytest.mark.parametrize(
    ("old", "new", "start"),
    [
        ('["Favours ketamine", "Favours control"]', '["one", 2]', "favours: two texts"),
        (
            '["Favours ketamine", "Favours control"]',
            '["Favours control", "Favours ketamine"]',
            "favours: 'Favours control' stands left and",
        ),
        ('outcome = ["depression"]', "outcome = []", "select.outcome: name at least one outcome"),
        ("[select]", "[[select]]", "select: a table is needed"),
        ('looked_for = "a trial of ketamine in depression"', "", "looked_for: a text is needed"),
        ('"mood"', '["mood"]', "section is ['mood']"),
        ('"declared"', '"post-hoc"', "status is 'post-hoc'; choose one of declared, post hoc"),
    ],
)
def test_required_parts(tmp_path: Path, old: str, new: str, start: str) -> None:
    assert old in ANALYSIS
    lines = problems(tmp_path, ANALYSIS.replace(old, new))
    assert any(line.startswith(start) for line in lines), lines


@pytest.mark.parametrize("name", ["evidence_map", "mood", "studies", "Demo", "my analysis", "démo"])
def test_the_name_of_a_file_becomes_names_of_results_and_figures(tmp_path: Path, name: str) -> None:
    lines = problems(tmp_path, ANALYSIS, name)
    assert lines[0].startswith("the file name")


def test_a_within_trial_analysis_names_its_two_groups(tmp_path: Path) -> None:
    text = 'kind = "within_trial"\n' + ANALYSIS
    assert problems(tmp_path, text)[0].startswith("kind is 'within_trial': give model.group_by")
    assert problems(tmp_path, 'kind = "within"\n' + ANALYSIS)[0].startswith("kind is 'within'")
    more = '[model]\ngroup_by = "adhd_subtype"\ngroup_order = ["inattentive", "combined"]\n'
    assert spec_of(tmp_path, more, text).kind == "within_trial"


def test_a_file_that_is_not_toml_says_where(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"demo\.toml(:2)?: the file is not valid TOML "):
        load_spec(write_analysis(tmp_path, text="title = 'x'\nquestion ="))
    (tmp_path / "demo.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match=r"demo\.toml: the file is UTF-16"):
        load_spec(tmp_path / "demo.toml")
    with pytest.raises(SpecError, match=r"gone\.toml: there is no such file"):
        load_spec(tmp_path / "gone.toml")


def test_the_problems_of_all_files_are_said_together(tmp_path: Path) -> None:
    write_analysis(tmp_path, "good")
    write_analysis(tmp_path, "bad", ANALYSIS.replace('"mood"', '"x"'))
    write_analysis(tmp_path, "broken", "title =")
    with pytest.raises(SpecError) as caught:
        load_specs(tmp_path, project=PROJECT)
    text = str(caught.value)
    assert "/bad.toml:3 section: it is 'x'" in text
    assert "/broken.toml: the file is not valid" in text
    assert "good.toml" not in text


def test_a_missing_folder_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="analyses: there is no such folder: make it; an"):
        load_specs(tmp_path / "analyses")


def test_long_lists_of_words_are_not_printed(tmp_path: Path) -> None:
    many = {**KNOWN, "instrument": [f"scale_{i}" for i in range(50)]}
    with pytest.raises(SpecError) as caught:
        load_spec(write_analysis(tmp_path, more='instrument = ["scale_"]\n'), many)
    assert "one of the 50 words" in str(caught.value)
    assert "scale_33" not in str(caught.value)


# --- the committed analyses -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def committed(committed_evidence: Evidence) -> list[AnalysisSpec]:
    return load_specs(ROOT / "analyses", known_words(committed_evidence))


def test_the_committed_analyses_load(committed: list[AnalysisSpec]) -> None:
    assert len(committed) >= 17
    assert {spec.section for spec in committed} == set(PROJECT.sections)
    assert all(spec.looked_for and spec.title and spec.question for spec in committed)


def test_the_committed_analyses_state_the_evidence_they_hold(
    committed: list[AnalysisSpec],
) -> None:
    for spec in committed:
        if spec.directness == "direct":
            assert set(spec.select.diagnosis) == {"adhd"}, spec.name
        if spec.model.important_difference is not None:
            assert spec.model.important_difference_source, spec.name
        for size in spec.assume.arm_sizes:
            assert size.reason, spec.name


@pytest.mark.parametrize(
    ("measure", "better", "swapped"),
    [
        *((measure, "higher", True) for measure in ("OR", "RR", "RD", "MD")),
        *((measure, "lower", False) for measure in ("OR", "RR", "RD", "MD")),
        *(("SMD", better, False) for better in ("lower", "higher")),
    ],
)
def test_sides_that_say_the_opposite_are_refused_and_sides_not_written_are_right(
    tmp_path: Path, measure: str, better: str, swapped: bool
) -> None:
    known = {**KNOWN, "counted": [], "lower": [], "higher": [], better: ["depression"]}
    if measure in ("OR", "RR", "RD"):
        known["counted"] = ["depression"]
    right = ["Favours ketamine", "Favours control"][:: -1 if swapped else 1]
    text = ANALYSIS.replace('["Favours ketamine", "Favours control"]', "{sides}")
    text += f'\n[model]\nmeasure = "{measure}"\n'

    def load(sides: list[str] | None) -> AnalysisSpec:
        written = (
            text.replace("favours = {sides}\n", "")
            if sides is None
            else text.replace("{sides}", str(sides).replace("'", '"'))
        )
        return load_spec(write_analysis(tmp_path / "analyses", "demo", written), known, PROJECT)

    assert load(right).favours == tuple(right)
    assert load(None).favours == tuple(side.replace("ketamine", "treatment") for side in right)
    with pytest.raises(SpecError, match="the other way round"):
        load(right[::-1])


def test_sides_that_say_which_is_better_need_an_outcome_that_does(tmp_path: Path) -> None:
    known = {**KNOWN, "lower": [], "higher": []}
    path = write_analysis(tmp_path / "analyses", "demo", ANALYSIS + '\n[model]\nmeasure = "MD"\n')
    with pytest.raises(SpecError, match="says which way is better"):
        load_spec(path, known, PROJECT)
