"""Draws docs/architecture.svg from the imports: the folders of the package, floor by floor.

Run by ``make docs``. The floors are those that ``tests/test_floors.py`` holds the imports to.
"""

from __future__ import annotations

import ast
import html
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "src" / "ketameta"
WIDTH, BOX, FLOOR = 900, 46, 88
#: What each part does, in a few words.
MEANING = {
    "cli": "parses, calls, prints",
    "exchange": "other formats in and out",
    "question": "one question alone",
    "review": "what a batch changes",
    "verify": "rebuilds and compares",
    "release": "freezes a report",
    "build": "tables to report",
    "report": "pages, PDF, provenance",
    "inputs": "everything, read and checked",
    "analyses": "a question to a result",
    "plots": "a result on an Axes",
    "evidence": "schema, checks, effects",
    "models": "estimates with intervals",
    "effects": "arrays to effect sizes",
    "ground": "errors, formats, measures, paths",
}


def floors() -> tuple[tuple[str, ...], ...]:
    """Return the floors as the test has them, the ground as one part."""
    tree = ast.parse((HERE.parent / "tests" / "test_floors.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "FLOORS":
            ground, *above = ast.literal_eval(node.value)
            named = [tuple(name for name in floor if not name.startswith("__")) for floor in above]
            return (("ground",), *(floor for floor in named if floor))
    raise LookupError("FLOORS")


def imports() -> Counter[tuple[str, str]]:
    """Return how many modules of one part import from another."""
    ground = ast.literal_eval(
        next(
            ast.unparse(node.value)
            for node in ast.parse((HERE.parent / "tests" / "test_floors.py").read_text("utf-8")).body
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "FLOORS"
        )
    )[0]
    found: Counter[tuple[str, str]] = Counter()
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        used = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ketameta."):
                used.add((node.module or "").split(".")[1])
        one = "ground" if own in ground else own
        for part in {"ground" if name in ground else name for name in used} - {one}:
            found[one, part] += 1
    return found


def picture() -> str:
    """Return the picture as SVG: a box per part, a line per part imported from, one row a floor."""
    rows = list(reversed(floors()))
    height = FLOOR * len(rows) + 30
    places = {}
    for number, names in enumerate(rows):
        for place, name in enumerate(names):
            step = WIDTH / len(names)
            places[name] = (step * (place + 0.5), 40 + FLOOR * number)
    counted = {name: len(list((PACKAGE / name).rglob("*.py"))) for name in places}
    known = imports()
    lines, boxes = [], []
    for (one, two), count in sorted(known.items()):
        if one in places and two in places and places[two][1] > places[one][1]:
            (x1, y1), (x2, y2) = places[one], places[two]
            width = min(0.6 + count / 8, 5)
            lines.append(
                f'<line x1="{x1:.0f}" y1="{y1 + BOX / 2:.0f}" x2="{x2:.0f}" y2="{y2 - BOX / 2:.0f}" '
                f'stroke="#6b7785" stroke-opacity="0.45" stroke-width="{width:.1f}"/>'
            )
    for name, (x, y) in places.items():
        wide = 190
        size = f" · {counted[name]} modules" if counted[name] else ""
        boxes.append(
            f'<rect x="{x - wide / 2:.0f}" y="{y - BOX / 2:.0f}" width="{wide}" height="{BOX}" rx="5" '
            f'fill="#f4f6f8" stroke="#33414f"/>'
            f'<text x="{x:.0f}" y="{y - 3:.0f}" text-anchor="middle" font-weight="bold">{html.escape(name)}{size}</text>'
            f'<text x="{x:.0f}" y="{y + 14:.0f}" text-anchor="middle" font-size="12">{MEANING.get(name, "")}</text>'
        )
    words = "; ".join(" and ".join(names) for names in rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="Parts of the package, each importing only from below: {html.escape(words)}" '
        f'font-family="DejaVu Sans, Verdana, sans-serif" font-size="13" fill="#1c2733">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join([*lines, *boxes]) + "\n</svg>\n"
    )


def main() -> None:
    """Write the picture."""
    (HERE / "architecture.svg").write_text(picture(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
