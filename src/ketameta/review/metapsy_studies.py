"""Studies, arms and risk of bias of a Metapsy file: one row each, however often they are named."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ketameta import vocabulary
from ketameta.review.draft import Draft
from ketameta.review.import_report import quoted
from ketameta.review.metapsy_words import (
    BLINDING,
    JUDGEMENTS,
    ROB2_DOMAINS,
    drug_class,
)
from ketameta.review.source_csv import as_number
from ketameta.review.start import slug, study_id_from
from ketameta.review.words_file import Declared, Words
from ketameta.textfiles import without_hidden

Cells = Mapping[str, str]
_DOI = re.compile(r"10\.\d{4,9}/[^\s;,]+")
_RANK = {"low": 0, "some_concerns": 1, "unclear": 1, "high": 2}
#: Columns of a row that describe the trial; a trial's first row gives them.
_FACTS = ("year", "doi", "registration_number", "full_ref", "design", "blinding", "diagnosis")


class StudyFacts:
    """Fills studies, arms and risk_of_bias of a draft and says what it had to decide."""

    def __init__(self, draft: Draft, words: Words, declared: Declared, source: str) -> None:
        self._draft, self._words, self._declared = draft, words, declared
        self._source = source
        self._ids: dict[str, str] = {}
        self._first: dict[str, Cells] = {}
        self._arms: dict[tuple[str, ...], str] = {}
        self._notes: dict[str, list[str]] = {}

    def notes(self) -> list[str]:
        """Return what was decided for trials and arms, each with the trials it concerns."""
        return [f"{what}: {', '.join(who)}" for what, who in self._notes.items()]

    def _say(self, what: str, who: str) -> None:
        names = self._notes.setdefault(what, [])
        if who not in names:
            names.append(who)

    def study_id(self, name: str, year: str, refusals: list[str]) -> str:
        """Return our name of a study; a name that cannot be made is a refusal."""
        clean = " ".join(without_hidden(name).split())
        if not clean:
            refusals.append("the study is not named")
            return ""
        key = clean.lower()
        if key in self._ids:
            return self._ids[key]
        found = self._words.find("study_id", clean) or study_id_from(clean)
        if not found and year.isdigit() and len(year) == 4:
            found = study_id_from(f"{clean} {year}")
        if not found:
            refusals.append(
                f"{quoted(name)} has no form of surname and year; name it under [study_id] in the "
                "words file"
            )
            return ""
        if found in self._ids.values():
            other = next(text for text, value in self._ids.items() if value == found)
            found = self._free(found)
            self._say(f"another study than '{other}' under the same surname and year", found)
        if clean != name:
            self._say("invisible characters or spaces were removed from the name", found)
        self._ids[key] = found
        return found

    def _free(self, study: str) -> str:
        taken = set(self._ids.values())
        stem = study.rstrip("abcdefghijklmnopqrstuvwxyz")
        letters = (stem + letter for letter in "bcdefghijklmnopqrstuvwxyz")
        return next((name for name in letters if name not in taken), f"{stem}z")

    def arms(self, study: str, row: Cells) -> tuple[str, str]:
        """Return the names of both arms of a row."""
        first, second = (self._arm_id(study, row, arm) for arm in "12")
        if first == second:
            parts = [
                slug(row.get(f"name_arm{arm}", "") or row.get(f"dose_arm{arm}", "")) for arm in "12"
            ]
            if parts[0] == parts[1] or not all(parts):
                parts = ["1", "2"]
            self._say("both arms have the same condition; told apart by name or number", study)
            first, second = f"{first}_{parts[0]}", f"{second}_{parts[1]}"
        return first, second

    def _arm_id(self, study: str, row: Cells, arm: str) -> str:
        named = " ".join(
            row.get(f"{column}_arm{arm}", "") for column in ("condition", "multi")
        ).strip()
        return slug(named) or slug(row.get(f"name_arm{arm}", "")) or f"arm_{arm}"

    def take(self, study: str, row: Cells, line: int, changes: list[str]) -> list[str]:
        """Add the study, its arms and its judgements to the draft; return what was new."""
        added: list[str] = []
        if study not in self._first:
            self._first[study] = row
            added.append(self._draft.add("studies", self._study(study, row), line))
        else:
            before = self._first[study]
            changes.extend(
                f"{column} differs from the first row of the study; the first is kept"
                for column in _FACTS
                if row.get(column, "") != before.get(column, "")
            )
        for arm, arm_id in zip("12", self.arms(study, row), strict=True):
            cells = {"study_id": study, "arm_id": arm_id}
            there = self._draft.find("arms", cells)
            cells |= self._arm(row, arm, arm_id)
            if there is None:
                added.append(self._draft.add("arms", cells, line))
                continue
            first = self._draft.line("arms", cells)
            changes.extend(
                f"{column} of {arm_id} differs from that of line {first}, which is kept"
                for column in ("intervention", "drug_class", "dose_description")
                if cells[column] != there.get(column, "")
            )
            if arm == "1" and there.get("role") == "control":
                there["role"] = "treatment"
                self._say("compared with one arm and the comparator of another: treatment", arm_id)
        added.extend(self._judgements(study, row, line))
        return added

    def _study(self, study: str, row: Cells) -> dict[str, str]:
        doi = _DOI.search(row.get("doi", ""))
        given = row.get("diagnosis", "").lower()
        diagnosis = self._words.find("diagnosis", given) or self._declared.meaning(
            "diagnosis", given
        )
        if not diagnosis and given in self._declared.project.words.diagnosis:
            diagnosis = given
        if not diagnosis:
            diagnosis = "other"
            self._say(f"diagnosis {quoted(given)} was entered as other", study)
        elif diagnosis != given:
            self._say(f"diagnosis {quoted(given)} was entered as {diagnosis}", study)
        group = row.get("target_group", "")
        age = as_number(row.get("mean_age", ""), decimal_comma="," in row.get("mean_age", ""))
        women = row.get("percent_women", "")
        year = row.get("year", "") or study.rsplit("_", 1)[-1][:4]
        cells = {
            "study_id": study,
            "citation": row.get("full_ref", "") or row.get("study", ""),
            "year": year if year.isdigit() else "",
            "doi": doi.group(0).rstrip(".") if doi else "",
            "registry_id": row.get("registration_number", "").replace(",", ";"),
            "source_url": f"https://doi.org/{doi.group(0).rstrip('.')}" if doi else "",
            "source_type": "dataset",
            "access": "secondary",
            "design": self._design(study, row),
            "blinding": BLINDING.get(row.get("blinding", "").lower(), "not_reported"),
            "population": group or given,
            "diagnosis": diagnosis,
            "age_group": self._age_group(age),
            "age_mean_years": age or "",
            "female_percent": as_number(women, decimal_comma="," in women) or "",
            **{
                name: self._declared.meaning(name, given, *group.split()) or "not_reported"
                for name in self._declared.project.categories
            },
            "notes": f"Read from {self._source}, a data set in the Metapsy format.",
        }
        return {**cells, **{key: cell for key, cell in self._words.study.items() if cell}}

    def _design(self, study: str, row: Cells) -> str:
        given = row.get("design", "").lower()
        if given in vocabulary.DESIGNS:
            return given
        if "cross" not in given:
            return "parallel_rct"
        if row.get("post_crossover", ""):
            self._say(
                "a crossover or delayed-treatment trial, entered as parallel groups by sequence; "
                "rows after the crossover carry period=after_crossover",
                study,
            )
            return "parallel_rct"
        return "crossover_rct"

    @staticmethod
    def _age_group(age: str | None) -> str:
        if not age:
            return "not_reported"
        years = float(age)
        return "adults" if years >= 21 else "adolescents" if years >= 13 else "children"

    def _arm(self, row: Cells, arm: str, arm_id: str) -> dict[str, str]:
        drug = row.get(f"drug_arm{arm}", "")
        condition = row.get(f"condition_arm{arm}", "")
        given = (drug, condition)
        word = self._words.find("drug_class", *given) or drug_class(self._declared, *given)
        word = word or self._declared.classes.get(slug(drug or condition), "")
        if not word:
            word = "other"
            self._say("the class of the intervention is not known here: other", drug or condition)
        named = self._words.find("intervention", *given) or slug(drug) or slug(condition) or arm_id
        return {
            "intervention": named,
            "drug_class": word,
            "role": "treatment" if arm == "1" else "control",
            "dose_description": row.get(f"dose_arm{arm}", ""),
            "route": "not_reported",
            "notes": row.get(f"name_arm{arm}", ""),
        }

    def _judgements(self, study: str, row: Cells, line: int) -> list[str]:
        """Add the judgements of a row; where rows of a study differ, the worse stands."""
        added = []
        for column, domain in ROB2_DOMAINS.items():
            given = row.get(column, "")
            judgement = JUDGEMENTS.get(given.lower())
            if not given:
                continue
            if judgement is None:
                self._say(f"risk of bias {column} is {quoted(given)}, which is no judgement", study)
                continue
            cells = {
                "study_id": study,
                "tool": "rob2",
                "domain": domain,
                "judgement": judgement,
                "support": f"as judged in {self._source} (column {column})",
                "judged_by": "Metapsy",
            }
            there = self._draft.find("risk_of_bias", cells)
            if there is None:
                added.append(self._draft.add("risk_of_bias", cells, line))
            elif there["judgement"] != judgement:
                self._say("risk of bias differs between rows; the worse judgement stands", study)
                if _RANK[judgement] > _RANK[there["judgement"]]:
                    there["judgement"] = judgement
        return added
