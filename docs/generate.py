"""Writes the pages that the code already says: commands, analysis files, project.toml, every name.

Run by ``make docs``; a test holds the committed pages to what is written here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic import BaseModel, ValidationError

import ketameta as km
from ketameta import cli
from ketameta.analyses.spec import AnalysisSpec
from ketameta.evidence import schema_of
from ketameta.evidence.project import Project
from ketameta.review import dictionary_markdown

HERE = Path(__file__).parent
WRITTEN = "Written from the code by `docs/generate.py`."


# --- commands -------------------------------------------------------------------------------------


def commands_page() -> str:
    """Return every command with its arguments, options and examples."""
    group = typer.main.get_command(cli.app)
    context = typer.Context(group, info_name="ketameta")
    parts = [
        "# The command line",
        f"{WRITTEN} The same stands in `ketameta --help` and `ketameta COMMAND --help`.",
        group.help or "",
        "`ketameta --version` shows the version, `ketameta --install-completion` teaches your shell to complete "
        "commands and options, `ketameta --show-completion` prints what it would be taught.",
    ]
    for name in group.list_commands(context):
        parts += _command(name, group.get_command(context, name))
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    own = typer.Context(command, info_name=f"ketameta {name}")
    yield f"({name})=\n\n## {name}"
    yield inspect.cleandoc(command.help or "")
    usage = re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), command.get_usage(own).removeprefix("Usage: "))
    yield f"```text\n{' '.join(usage.split())}\n```"
    rows = ["| argument or option | meaning |", "| --- | --- |"]
    for item in command.params:
        if item.name == "help":
            continue
        opts = [*item.opts, *item.secondary_opts]
        told = opts if opts[0].startswith("-") else [item.metavar or item.name.upper()]
        default = item.default if isinstance(item.default, (str, float)) and item.default else ""
        meaning = (item.help or "").rstrip(".") + (f" (default: {default})" if default else "") + "."
        rows.append(f"| `{' / '.join(told)}` | {meaning.replace('|', chr(92) + '|')} |")
    if len(rows) > 2:
        yield "\n".join(rows)
    lines = [line.strip() for line in (command.epilog or "").splitlines()]
    calls = [line for line in lines if line.startswith("ketameta ")]
    yield "```text\n" + "\n".join(calls) + "\n```"
    if name == "fit":
        from ketameta.exchange.fit_csv import column_help

        yield f"Columns by measure (or one number for all trials):\n\n```text\n{column_help()}\n```"


# --- files of a project ---------------------------------------------------------------------------


def analysis_page() -> str:
    """Return the reference of an analysis file, from the model that reads it."""
    return "\n\n".join(
        [
            "# The analysis file",
            f"{WRITTEN} One question is one file, `analyses/NAME.toml`; the file's name is the name of its results. A file "
            "with only the needed keys is complete; `ketameta check` names every mistake with its line and the nearest "
            "word, and `ketameta run NAME` shows what it finds.",
            f"A whole one, of the [vaccine example](living_review.md):\n\n```toml\n"
            f"{(HERE.parent / 'examples/bcg/analyses/tuberculosis_by_allocation.toml').read_text('utf-8').strip()}\n```",
            "Words such as outcomes, interventions and diagnoses are those that the tables in `data/` and `project.toml` use.",
            *_table(AnalysisSpec, "", "The file itself"),
        ]
    ) + "\n"


def project_page() -> str:
    """Return the reference of project.toml."""
    return "\n\n".join(
        [
            "# project.toml",
            f"{WRITTEN} The file holds what a review is about; the toolkit knows no topic. What is not known stays \"not "
            "stated\" or \"not registered\". `ketameta init` writes a first one, with comments.",
            *_table(Project, "", "The file itself"),
        ]
    ) + "\n"


def _table(model: type[BaseModel], path: str, title: str) -> Iterator[str]:
    """Yield the section of a table, then those of the tables in it."""
    text, told = _told(model)
    if path:
        yield f"## `{path}`"
    else:
        yield f"## {title}"
    yield text
    rows = ["| key | what it is | default |", "| --- | --- | --- |"]
    below, needed = [], _needed(model)
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        inner = _inner(field.annotation, field.metadata)
        if inner is not None:
            several = "tuple" in str(field.annotation)
            key = field.alias or name
            place = f"{path.strip('[]')}.{key}" if path else key
            place = f"[[{place}]]" if several else f"[{place}]"
            if "Mapping" in str(field.annotation):
                place = place[:-1] + ".NAME]"
            below.append((inner, place))
            kind, default = f"table `{place}`, below", ""
        else:
            kind = _kind(field)
            value = field.get_default(call_default_factory=True)
            default = "needed" if name in needed else _written(value)
        meaning = told.get(name, "")
        kind = f"{kind}. {meaning}" if meaning else f"{kind}."
        rows.append(f"| `{field.alias or name}` | {kind.replace('|', chr(92) + '|')} | {default} |")
    yield "\n".join(rows)
    for inner, place in below:
        yield from _table(inner, place, "")


def _inner(annotation: Any, metadata: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_inner(part, ()) for part in get_args(annotation))
    return next((item for item in found if item is not None), None)


def _told(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """Return the text of a docstring, and what it says of each key."""
    whole = inspect.cleandoc(model.__dict__.get("__doc__") or "")
    text, _, rest = whole.partition("Attributes\n----------\n")
    text = re.sub(r":\w+:`(?:~?[\w.]*\.)?(\w+)`", r"`\1`", text).replace("``", "`")
    told: dict[str, str] = {}
    names: list[str] = []
    for line in rest.splitlines():
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.partition(" : ")[0].split(",")]
        elif line.strip():
            for name in names:
                told[name] = f"{told.get(name, '')} {line.strip()}".strip().replace("``", "`")
    return " ".join(text.split("\n\n")[0].split()) + _more(text), told


def _more(text: str) -> str:
    parts = [" ".join(part.split()) for part in text.split("\n\n")[1:] if part.strip()]
    return "".join(f"\n\n{part}" for part in parts)


def _closures(field: Any) -> Iterator[dict[str, Any]]:
    for item in field.metadata:
        function = getattr(item, "func", None)
        if function is not None and getattr(function, "__closure__", None):
            yield inspect.getclosurevars(function).nonlocals


def _needed(model: type[BaseModel]) -> set[str]:
    """Return the keys without which a table is refused."""
    try:
        model.model_validate({}, context={"known": {}, "lenient": False})
    except ValidationError as error:
        return {str(detail["loc"][0]) for detail in error.errors()}
    return set()


def _kind(field: Any) -> str:
    for found in _closures(field):
        if found.get("choices"):
            words = ", ".join(f"`{word}`" for word in found["choices"])
            return f"{'words of' if 'tuple' in str(field.annotation) else 'one of'} {words}"
        if "low" in found and "high" in found:
            return f"a list of numbers between {found['low']:g} and {found['high']:g}"
        if found.get("what"):
            return f"a number; {found['what']}"
    shown = str(field.annotation)
    for sign, words in (
        ("Measure", "a measure, such as `SMD`, `MD`, `OR`, `RR`"),
        ("Mapping", "a table of words"),
        ("tuple[float", "a list of numbers"),
        ("tuple", "a list of words"),
        ("bool", "`true` or `false`"),
        ("float", "a number"),
        ("int", "a whole number"),
    ):
        if sign in shown:
            return words
    return "a text"


def _written(value: Any) -> str:
    if value is None or value in ((), "", {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{value}`"


# --- every name -----------------------------------------------------------------------------------

#: Headings of the reference, each with the rooms whose names stand under it.
_PARTS = (
    ("Effects from a data frame", ("effects.table", "effects.pairwise", "effects.value", "effects.arrays")),
    ("Effect sizes of arrays", ("effects",)),
    ("From what is printed to what is needed", ("effects.conversions",)),
    ("Pooling", ("models.pooling", "models.prediction")),
    ("Moderators", ("models.regression", "models.contrasts", "models.subgroups", "models.resampling")),
    ("Dependent effects", ("models.dependent",)),
    ("Networks and doses", ("models.network", "models.dose", "models.contrasts")),
    ("Rare events", ("models.rare_events",)),
    ("Bayesian models and priors", ("models.bayes",)),
    ("Influence, and what may be missing", ("models.diagnostics", "models.small_study")),
)


def names_by_part() -> dict[str, list[str]]:
    """Return every public name under its heading."""
    found: dict[str, list[str]] = {title: [] for title, _ in _PARTS}
    found["Everything else"] = []
    for name in km.__all__:
        if name in ("__version__", "plots"):
            continue
        room = getattr(km, name).__module__.removeprefix("ketameta.")
        fits = [(len(start), title) for title, rooms in _PARTS for start in rooms if room.startswith(start)]
        found[max(fits)[1] if fits else "Everything else"].append(name)
    return {title: sorted(names, key=str.lower) for title, names in found.items() if names}


def api_page() -> str:
    """Return the page of every public name; its entries are written by Sphinx from the docstrings."""
    parts = [
        "# Every public name",
        f"{WRITTEN} `import ketameta as km`, then `km.NAME`. Every function takes arrays; those that take a data frame say so. "
        "Results are frozen values: print them, or ask `.to_frame()`, `.to_dict()`, `.summary()`.",
    ]
    from ketameta import plots

    for title, names in names_by_part().items():
        parts.append(f"## {title}")
        parts.append(_summary("ketameta", names))
    parts.append("## Plots")
    parts.append("`km.plots` draws any result on a matplotlib Axes and returns it; results have the same as methods "
                 "(`fit.forest()`, `fit.funnel()`).")
    parts.append(_summary("ketameta.plots", sorted(plots.__all__)))
    return "\n\n".join(parts) + "\n"


def _summary(module: str, names: list[str]) -> str:
    listed = "\n".join(names)
    return f"```{{eval-rst}}\n.. currentmodule:: {module}\n\n.. autosummary::\n   :toctree: generated\n\n" + "\n".join(
        f"   {name}" for name in listed.split("\n")
    ) + "\n```"


# --- every column ---------------------------------------------------------------------------------


def columns_page() -> str:
    """Return the data dictionary of a project that declares no words of its own."""
    text = dictionary_markdown(schema_of(Project.model_construct()))
    return text.replace(
        "Written by `ketameta dictionary` from the schema; edit the schema, not this file.",
        f"{WRITTEN} `data/README.md` of a project says the same with its own words and moderators.",
    )


PAGES = {
    "columns.md": columns_page,
    "commands.md": commands_page,
    "analysis_file.md": analysis_page,
    "project_file.md": project_page,
    "api.md": api_page,
}


def main() -> None:
    """Write every page that is not as the code has it."""
    for name, page in PAGES.items():
        path, text = HERE / name, page()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
