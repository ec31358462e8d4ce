"""Five tasks at a prompt, beside two other packages: run, counted, and written to docs/peers.md.

``python benchmarks/five_tasks.py`` needs ``pip install ketameta[bench]``. Figures go to a folder
that is named as the first argument, to be looked at: what the page says of them was seen there.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from pages import wrapped

import ketameta
from ketameta.paths import write_atomically

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "peers.md"
FROM = {
    "ketameta": "import ketameta as km",
    "pimeta": "import pimeta",
    "PyMetaAnalysis": "import meta_analyze",
}

#: What a user writes once ``trials`` (BCG vaccine) or ``arms`` (glucose, a network) is read.
CODE = {
    "ketameta": (
        """\
effects = km.effect_sizes(trials, "RR", events_treatment="tpos", n_treatment="n1",
                          events_control="cpos", n_control="n2", labels="author")
fit = km.random_effects(effects)
fit.forest().figure.savefig("ketameta_1.png")
""",
        """\
line = km.meta_regression(effects, "~ ablat")
line.bubble("ablat").figure.savefig("ketameta_2.png")
""",
        """\
groups = km.subgroup_analysis(effects, "alloc")
groups.forest().figure.savefig("ketameta_3.png")
""",
        """\
fit.funnel(contours=True).figure.savefig("ketameta_4.png")
print(km.egger_test(fit))
""",
        """\
covariance = np.diag(arms["vi"])
shared = arms.index[arms["study"] == "Willms (1999)"]
covariance[np.ix_(shared, shared)] += 0.115605551724138 * (1 - np.eye(2))
net = km.network_meta_analysis(
    arms["yi"], arms["vi"], arms["study"], arms["treatment"], arms["control"],
    reference="placebo", sampling_covariance=covariance, n_treatment=arms["n_treatment"],
    n_control=arms["n_control"], measure="MD")
net.plot().figure.savefig("ketameta_5.png")
""",
    ),
    "pimeta": (
        """\
es = pimeta.escalc("RR", ai="tpos", n1i="n1", ci="cpos", n2i="n2", data=trials)
pooled = pimeta.metabin("tpos", "n1", "cpos", "n2", data=trials)
pimeta.forest(es.yi, es.vi, studlab=list(trials["author"]), pooled=pooled.random,
              effect_type="RR", filename="pimeta_1.png")
""",
        """\
line = pimeta.rma(es.yi, es.vi, mods=trials["ablat"], test="adhoc")
pimeta.regplot(line, filename="pimeta_2.png")
""",
        """\
for group, rows in trials.groupby("alloc"):
    part = pimeta.escalc("RR", ai="tpos", n1i="n1", ci="cpos", n2i="n2", data=rows)
    one = pimeta.metabin("tpos", "n1", "cpos", "n2", data=rows)
    pimeta.forest(part.yi, part.vi, studlab=list(rows["author"]), pooled=one.random,
                  effect_type="RR", filename=f"pimeta_3_{group}.png")
print(pimeta.rma(es.yi, es.vi, mods="~ alloc", data=trials).QMp)
""",
        """\
pimeta.funnel(es.yi, es.vi, effect_type="RR", filename="pimeta_4.png")
print(pimeta.regtest(es.yi, es.vi, test="knha"))
""",
        """\
two = arms[arms["study"] == "Willms (1999)"]
third = {"study": "Willms (1999)", "treatment": "acarbose", "control": "metformin",
         "yi": two["yi"].iloc[0] - two["yi"].iloc[1],
         "vi": two["vi"].sum() - 2 * 0.115605551724138}
every = pd.concat([arms, pd.DataFrame([third])])
net = pimeta.netmeta(every["yi"], np.sqrt(every["vi"]), every["treatment"], every["control"],
                     every["study"], sm="MD", reference_group="placebo")
pimeta.netgraph(net, filename="pimeta_5.png")
""",
    ),
    "PyMetaAnalysis": (
        """\
fit = meta_analyze.meta_binary(
    trials, event_treat="tpos", n_treat="n1", event_control="cpos", n_control="n2",
    study="author", method="IV", model="random", ci_method="hartung_knapp_adhoc")
fit.forest().figure.savefig("PyMetaAnalysis_1.png")
""",
        """\
effects = trials.assign(yi=fit.study_results["effect"], vi=fit.study_results["variance"])
line = meta_analyze.meta_regression(effects, effect="yi", variance="vi", moderators=["ablat"],
                                    inference_method="hartung_knapp")
line.bubble().figure.savefig("PyMetaAnalysis_2.png")
""",
        """\
groups = meta_analyze.meta_binary(
    trials, event_treat="tpos", n_treat="n1", event_control="cpos", n_control="n2",
    study="author", subgroup="alloc", method="IV", model="random",
    ci_method="hartung_knapp_adhoc")
groups.forest().figure.savefig("PyMetaAnalysis_3.png")
""",
        """\
fit.funnel(contour_levels=(0.9, 0.95, 0.99)).figure.savefig("PyMetaAnalysis_4.png")
print(fit.egger_test())
""",
        "",
    ),
}  # fmt: skip

TASKS = (
    "1. counts of arms to effect sizes, a pooled fit and a saved forest plot",
    "2. a meta-regression and its bubble plot",
    "3. groups of trials in one forest plot, with the test between them",
    "4. a funnel plot and Egger's test",
    "5. a network with a three-arm trial, and its graph",
)


def statements(code: str) -> int:
    """Return how many statements a user writes, those inside of a loop counted."""
    return sum(isinstance(node, ast.stmt) for node in ast.walk(ast.parse(code)))


def run(name: str, folder: Path) -> None:
    """Run the tasks of a package in a folder."""
    space: dict[str, Any] = {
        "trials": pd.read_csv(ROOT / "docs" / "data" / "bcg.csv"),
        "arms": pd.read_csv(ROOT / "docs" / "data" / "senn2013.csv"),
    }
    exec(f"import numpy as np\nimport pandas as pd\n{FROM[name]}", space)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        for code in CODE[name]:
            exec(code, space)


#: What was seen in the figures, by task: ketameta, pimeta, PyMetaAnalysis.
SEEN = (
    (
        "trials, weights and intervals in numbers, diamond, prediction interval, heterogeneity and"
        " the method under the plot; ticks at 0.1, 0.2, 0.5, 1, 2",
        "trials and a diamond that touches the last row; no numbers, weights or prediction"
        " interval; ticks at powers of e (0.135335, 0.367879). The diamond comes with a result of"
        " `metabin`, whose interval is the normal one; given a fit of `rma` it is left out without"
        " a word, and `forest(fit)` ends in a `TypeError`",
        "trials, weights, diamond and prediction interval, ratio ticks; no estimates in numbers,"
        " no heterogeneity, no word on the method",
    ),
    (
        "risk ratios on a log axis, circles by weight and named, line, interval and prediction"
        " interval of the mean",
        "log risk ratios, dots of one size without names, line and interval; the axis is called"
        " Moderator unless named; a prediction interval on request (`bubble` sizes the circles and"
        " has no interval)",
        "log risk ratios, circles by weight without names, line and interval, a prediction"
        " interval on request; a regression takes no counts, so the effects are put into the frame"
        " by hand",
    ),
    (
        "one figure: groups with their own diamonds, prediction intervals, heterogeneity and"
        " weights, the test between groups below; the mean of two trials, whose interval is too"
        " wide to draw, is written",
        "no groups: three files with axes of their own; the test from a regression with one"
        " tau-squared",
        "one figure: groups with diamonds and prediction intervals, an overall diamond, weights,"
        " the test below; no numbers, no heterogeneity",
    ),
    (
        "risk ratios, bands of significance around no effect, pseudo limits around the pooled"
        " estimate, a key; Egger's test in the model of the fit",
        "log risk ratios under the name of ratios, limits around the common effect (not the random"
        " one that was fitted), no bands; Egger's test in a regression",
        "risk ratios, bands and limits with a key; Egger's test by weighted regression only",
    ),
    (
        "two comparisons of the three-arm trial with their covariance; placebo in the middle,"
        " circles by people, lines by trials with their number; effects, consistency and ranking in"
        " the print",
        "all three comparisons of the trial, the third computed by hand (with two: `ValueError:"
        " matmul`); a circle with names over the nodes, lines by trials without numbers",
        "no networks",
    ),
)  # fmt: skip


def page() -> str:
    """Return the page: the table, then the code that was run."""
    lines = ["# Five tasks, beside pimeta and PyMetaAnalysis", ""]
    lines += wrapped(
        f"""Run on {datetime.now(UTC):%Y-%m-%d} with ketameta {ketameta.__version__}, pimeta
        {version("pimeta")} and PyMetaAnalysis {version("PyMetaAnalysis")}, on the trials of BCG
        vaccine and the network of glucose medicines of this guide, once the CSV is read. A number
        is the statements a user writes, each at its shortest that draws what it can; then what the
        picture shows and what it leaves out. `python benchmarks/five_tasks.py FOLDER` runs
        everything again, counts and writes this page; figures go to the folder."""
    )
    lines += [f"| task | {' | '.join(CODE)} |", "| --- | --- | --- | --- |"]
    for at, task in enumerate(TASKS):
        cells = [
            f"**{statements(codes[at]) or '–'}**: {seen}"
            for codes, seen in zip(CODE.values(), SEEN[at], strict=True)
        ]
        lines.append(f"| {task} | {' | '.join(cells)} |")
    total = [sum(map(statements, codes)) for codes in CODE.values()]
    lines.append(f"| together | {total[0]} | {total[1]} | {total[2]}, without the network |")
    lines += ["", *wrapped(
        """None of the three calls `show()`. How fast each is: [performance](performance.md); how
        near to R's metafor: [agreement](agreement.md)."""
    )]  # fmt: skip
    for name, codes in CODE.items():
        lines += [f"## {name}", "", "```python", FROM[name], ""]
        lines += ["\n".join(code for code in codes if code).rstrip(), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Run every task of every package, then write the page."""
    matplotlib.use("agg")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else name)
        folder.mkdir(parents=True, exist_ok=True)
        for package in CODE:
            run(package, folder)
        print(*sorted(os.listdir(folder)), sep="\n")
    write_atomically(PAGE, page())


if __name__ == "__main__":
    main()
