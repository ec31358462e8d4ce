"""The page in a real browser: accessible, at home on a phone, useful without JavaScript."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Callable, Iterator
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from report_pages import (
    browser,
    committed_context,
    committed_pages,
    committed_results,
    file_of,
    write_pages,
)

#: An analysis with several trials and counts, so that every choice is there.
COUNTED = "harm_dissociation"
BOX = f"#try-{COUNTED}-box"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def address(folder: str) -> str:
    """The page of the analysis that is looked at."""
    return f"{folder}/{file_of(COUNTED)}"


@pytest.fixture(scope="module")
def front(folder: str) -> str:
    return f"{folder}/report.html"


Visit = Callable[..., Any]


def new_page(opened: Any, **settings: Any) -> Any:
    """Return an empty page that notes its errors; whoever asks closes its context."""
    page = opened.new_context(reduced_motion="reduce", **settings).new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text)
            if message.type == "error" else None)  # fmt: skip
    return page


@pytest.fixture(scope="module")
def tab(opened: Any) -> Iterator[Any]:
    page = new_page(opened)
    yield page
    page.context.close()


@pytest.fixture
def visit(tab: Any) -> Visit:
    """Return a function that loads an address into the one tab, as into a new one.

    A process of the browser for each page would take longer than what most tests ask of it.
    """

    def load(address: str, width: int = 1280, height: int = 720) -> Any:
        tab.goto("about:blank")  # an address that differs after its # alone would load nothing
        tab.set_viewport_size({"width": width, "height": height})
        tab.emulate_media(media="null", color_scheme="light")
        tab.errors.clear()
        tab.goto(address)
        return tab

    return load


#: Opens every fold.
UNFOLD = "document.querySelectorAll('details').forEach((d) => { d.open = true; })"
#: Removes what repeats elements that are looked at already: in every list of cards all but two.
FEWER = """() => {
  for (const card of document.querySelectorAll('details.card ~ details.card ~ details.card')) {
    card.remove();
  }
}"""
#: Removes what no rule but the one of contrast asks about: the strokes and words of a drawing that
#: have no name, no role and no address, and hold none.
UNDRAWN = r"""() => {
  const asked = (part) => part.matches('a, title, desc')
    || part.getAttributeNames().some((name) => /^(role|tabindex|lang|on|aria-)/.test(name));
  for (const part of document.querySelectorAll('svg *')) {
    if (part.closest('a, title, desc')) continue;
    if (!asked(part) && ![...part.querySelectorAll('*')].some(asked)) part.remove();
  }
}"""
#: Removes what has the colours of what stays: the drawing inside figures, whose contrast axe leaves
#: undecided, and of parts of one shape at one place, as rows of tables, all but four.
ALIKE = r"""() => {
  document.querySelectorAll('svg').forEach((figure) => figure.replaceChildren());
  const [places, seen] = [new Map(), {}];
  for (const part of document.querySelectorAll('body *')) {
    if (!part.isConnected) continue;
    const place = `${places.get(part.parentElement)} ${part.tagName}.${part.getAttribute('class')}`;
    places.set(part, place);
    const shape = place + part.outerHTML.replace(/>[^<]*</g, '><')
      .replace(/ (id|href|for|name|value|title|aria-(label|labelledby|describedby))="[^"]*"/g, '');
    seen[shape] = (seen[shape] || 0) + 1;
    if (seen[shape] > 4) part.remove();
  }
}"""
#: Has axe read each colour once: it reads that of everything behind each word, a dozen in all.
COLOURS = """() => {
  const Color = axe.commons.color.Color, [read, known] = [Color.prototype.parseString, new Map()];
  Color.prototype.parseString = function (text) {
    if (!known.has(text)) known.set(text, read.call(new Color(), text));
    const {r, g, b, alpha} = known.get(text);
    return Object.assign(this, {r, g, b, alpha});
  };
}"""
#: Pages that hold, between them, every kind of part; the others are made by the same templates.
KINDS = (
    *("report.html", "methods.html", "questions/network.html", "questions/mood.html"),
    *("questions/related_medicines.html", "questions/rare_and_lasting_harms.html"),
    *("questions/next_trial.html", "questions/between_trials.html"),
)


@pytest.fixture(scope="module", params=KINDS)
def unfolded(opened: Any, folder: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page with every fold open, first for what leaves it as it is."""
    page = new_page(opened)
    page.goto(f"{folder}/{request.param}")
    page.evaluate(UNFOLD)
    yield page
    page.context.close()


def test_no_part_of_a_page_is_wider_than_the_screen(unfolded: Any) -> None:
    for width in (320, 390, 768, 1100, 1280, 1700):
        unfolded.set_viewport_size({"width": width, "height": 800})
        wider = unfolded.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wider <= 0, width


def assert_no_violation(page: Any, width: int, scheme: str, rules: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    found = page.evaluate(f"axe.run(document, {{resultTypes: ['violations'], {rules}}})")
    assert [
        (item["id"], [node["html"][:160] for node in item["nodes"][:3]])
        for item in found["violations"]
    ] == [], (scheme, width)


def test_axe_finds_no_violation_of_wcag(unfolded: Any) -> None:
    page = unfolded
    page.set_default_timeout(300_000)
    script = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    # The page's own policy lets no other script run; the test evaluates it from outside.
    page.evaluate(script + "; undefined")
    page.evaluate(COLOURS)
    page.evaluate(FEWER)
    page.evaluate(UNDRAWN)
    every = "runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']"
    for width in (1280, 390):
        assert_no_violation(
            page, width, "light", f"{every}, rules: {{'color-contrast': {{enabled: false}}}}"
        )
    page.evaluate(ALIKE)
    # The dark page differs in its colours alone, which one more rule looks at.
    for scheme, asked in (("light", "'color-contrast'"),
                          ("dark", "'color-contrast', 'link-in-text-block'")):  # fmt: skip
        for width in (1280, 390):
            rules = f"runOnly: {{type: 'rule', values: [{asked}]}}"
            assert_no_violation(page, width, scheme, rules)


#: Screens of 1280 by 900 that the front page may fill, and what may be reached by the Tab key.
SCREENS, FOCUSABLE = 5, 300
#: Milliseconds until the front page answers.
INTERACTIVE = 1000


def test_the_front_page_has_at_most_five_screens_and_answers_at_once(
    visit: Visit, front: str
) -> None:
    page = visit(front, width=1280, height=900)
    assert page.evaluate("document.documentElement.scrollHeight") <= SCREENS * 900
    timing = "performance.getEntriesByType('navigation')[0].domInteractive"
    assert page.evaluate(timing) < INTERACTIVE
    for part in ("#answer .big", ".cards .benefit .first", ".cards .harm .icons",
                 ".cards .alternatives .first"):  # fmt: skip
        assert page.locator(part).first.bounding_box()["y"] < 900, part
    page.set_viewport_size({"width": 390, "height": 844})
    box = page.locator("#answer .verdict").bounding_box()
    assert box["y"] + box["height"] <= 844, "answer, date and limits on a phone's first screen"


def test_few_things_are_in_the_way_of_the_tab_key(visit: Visit, folder: str) -> None:
    counted = (
        "[...document.querySelectorAll('a[href], summary, select, button, input, [tabindex]')]"
        ".filter((e) => e.checkVisibility()).length"
    )
    for file in committed_pages():
        page = visit(f"{folder}/{file}")
        assert page.evaluate(counted) <= FOCUSABLE, file
        assert page.errors == [], file


def test_a_study_in_a_plot_leads_to_its_card(visit: Visit, address: str) -> None:
    page = visit(address)
    label = committed_context()["views"][COUNTED]["cards"][0].label
    link = page.locator(f"#{COUNTED} svg.plot a").first
    assert link.text_content() == label
    link.focus()
    page.keyboard.press("Enter")
    assert page.locator(f"#row-{COUNTED}-1").evaluate("card => card.open")


#: Smallest letters on paper, in points.
PRINTED = 9


def test_letters_on_paper_are_large_enough(visit: Visit, folder: str) -> None:
    for file in ("report.html", "questions/common_harms.html", "methods.html"):
        page = visit(f"{folder}/{file}")
        page.emulate_media(media="print")
        smallest = page.evaluate(
            "Math.min(...[...document.querySelectorAll('p, li, td, th, dd, dt, small, summary, "
            "figcaption, caption')].filter((e) => e.checkVisibility() && e.textContent.trim())"
            ".map((e) => parseFloat(getComputedStyle(e).fontSize)))"
        )
        assert smallest * 0.75 >= PRINTED, (file, smallest)


def test_nothing_is_fetched_and_nothing_fails(opened: Any, address: str) -> None:
    context = opened.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}#try={COUNTED}&tau2=DL")
    page.wait_for_timeout(200)
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert sum(url.startswith("file:") for url in asked) == 1
    assert errors == []
    context.close()


def test_the_policy_of_the_page_stops_requests_and_foreign_scripts(
    visit: Visit, address: str
) -> None:
    page = visit(address)
    outcome = page.evaluate("fetch('https://example.org/').then(() => 'fetched', () => 'refused')")
    assert outcome == "refused"
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), "
                  "{textContent: 'window.foreign = 1'}))")  # fmt: skip
    assert page.evaluate("window.foreign === undefined")


def page_file(result: dict[str, Any]) -> str:
    return file_of(result["name"])


def test_without_javascript_everything_is_there(opened: Any, folder: str) -> None:
    page = new_page(opened, java_script_enabled=False)
    for file, results in groupby(sorted(committed_results(), key=page_file), key=page_file):
        page.goto(f"{folder}/{file}")
        for result in results:
            place = page.locator(f"#{result['name']}")
            assert place.is_visible()
            if result["k"]:
                assert place.locator("svg.plot").first.is_visible()
                assert " ".join(result["sentences"][0].split()) in " ".join(
                    place.locator(".answer").inner_text().split()
                )
        assert page.locator("details.try").count() == 0
    page.context.close()


def test_unticking_a_trial_marks_the_numbers_as_a_selection(visit: Visit, address: str) -> None:
    page = visit(address)
    page.locator(f"{BOX} > summary").click()
    banner = page.locator(f"{BOX} .selection-banner")
    assert "published result" in banner.inner_text()
    before = page.locator(f"{BOX} dl.numbers").inner_text()
    page.locator(f"{BOX} input[type=checkbox]").first.uncheck()
    assert banner.inner_text() == "Your selection, not the published result."
    assert page.locator(f"{BOX} dl.numbers").inner_text() != before
    assert "Your selection" in page.locator(f"{BOX} svg").get_attribute("aria-label")
    page.get_by_role("button", name="Back to the published choices").locator("visible=true").click()
    assert page.locator(f"{BOX} dl.numbers").inner_text() == before
    assert page.errors == []


def test_a_link_restores_the_whole_selection(visit: Visit, address: str) -> None:
    page = visit(address)
    page.locator(f"{BOX} > summary").click()
    page.locator(f"{BOX} input[type=checkbox]").nth(1).uncheck()
    page.select_option(f"#try-{COUNTED}-tau", "DL")
    page.select_option(f"#try-{COUNTED}-ci", "wald")
    page.select_option(f"#try-{COUNTED}-measure", "OR")
    numbers = page.locator(f"{BOX} dl.numbers").inner_text()
    link = page.locator(f"{BOX} .try-links a").get_attribute("href")
    assert page.evaluate("location.hash") == link, "the address bar holds the selection"
    again = visit(address + link)
    assert again.locator(f"{BOX} dl.numbers").inner_text() == numbers
    assert not again.locator(f"{BOX} input[type=checkbox]").nth(1).is_checked()
    assert again.locator(f"#try-{COUNTED}-ci").input_value() == "wald"
    assert "not the published" in again.locator(f"{BOX} .selection-banner").inner_text()


@pytest.mark.parametrize(
    "state",
    ["#try=no_such_analysis", f"#try={COUNTED}&tau2=<script>&ci=7&off=nobody,&measure=XX",
     "#try=%22%3E%3Cimg%20src=x%3E", "#no-such-place"],
)  # fmt: skip
def test_a_broken_link_does_no_harm(visit: Visit, address: str, state: str) -> None:
    page = visit(address + state)
    assert page.errors == []
    assert page.locator("h1").is_visible()


def test_no_trial_left_says_so(visit: Visit, address: str) -> None:
    page = visit(address)
    page.locator(f"{BOX} > summary").click()
    boxes = page.locator(f"{BOX} input[type=checkbox]")
    for place in range(boxes.count()):
        boxes.nth(place).uncheck()
    assert "tick at least one trial" in page.locator(f"{BOX} dl.numbers").inner_text()
    assert page.errors == []


def test_a_link_to_a_closed_card_opens_it(visit: Visit, address: str) -> None:
    page = visit(f"{address}#row-{COUNTED}-1")
    assert page.locator(f"#row-{COUNTED}-1").evaluate("card => card.open")
    assert page.locator(f"#row-{COUNTED}-1 ol.steps").first.is_visible()


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(
    visit: Visit, address: str
) -> None:
    page = visit(f"{address}#try={COUNTED}")
    unreachable = page.evaluate(
        "[...document.querySelectorAll('a[href], summary, select, button, input, .scroll')]"
        ".filter((e) => e.tabIndex < 0).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert unreachable == []
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement !== document.body")
    page.locator(f"{BOX} > summary").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SELECT"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_the_answer_stands_before_what_is_behind_it(visit: Visit, folder: str) -> None:
    for name in (COUNTED, "nmda_adhd_symptoms"):
        page = visit(f"{folder}/{file_of(name)}")
        first = page.locator("#answer .big").bounding_box()["y"]
        assert first < page.locator(f"#{name} > .answer").bounding_box()["y"]
        assert page.locator(f"#{name} > .answer").is_visible()
        folds = page.locator(f"#{name} details.fold")
        assert folds.count() >= 4
        assert not any(fold.evaluate("part => part.open") for fold in folds.all())


def test_a_measure_without_a_trial_names_the_trial(visit: Visit, folder: str) -> None:
    partly = next(
        (engine["name"], measure)
        for view in committed_context()["views"].values() if (engine := view["engine"])
        for measure, _ in engine["measures"]
        if measure == "SMD" and any(row["a"] is None for row in engine["parts"][0]["rows"])
    )  # fmt: skip
    page = visit(f"{folder}/{file_of(partly[0])}#try={partly[0]}&measure={partly[1]}")
    said = page.locator(f"#try-{partly[0]}-box [data-unsaid]")
    assert "do not give this measure" in said.inner_text()
    assert page.errors == []


def test_the_first_tab_is_the_way_past_the_head(visit: Visit, address: str) -> None:
    page = visit(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_a_term_explains_itself_on_focus(visit: Visit, address: str) -> None:
    page = visit(address)
    page.locator("a.term").first.focus()
    shown = page.evaluate("getComputedStyle(document.activeElement, '::after').content")
    assert len(shown) > 10


@pytest.mark.parametrize(("later", "stale"), [(30, False), (400, True)])
def test_the_age_of_the_search_is_by_the_readers_calendar(
    opened: Any, front: str, later: int, stale: bool
) -> None:
    living = committed_context()["living"]
    day = datetime.date.fromisoformat(living["searched"]) + datetime.timedelta(days=later)
    context = opened.new_context()
    page = context.new_page()
    page.clock.set_fixed_time(datetime.datetime(day.year, day.month, day.day, 12))
    page.goto(front)
    words = page.locator("#living").inner_text()
    assert f"{later} days old" in words
    assert ("Stale since " + living["due"] in words) == stale
    context.close()


def test_the_page_on_paper_shows_what_was_closed(visit: Visit, address: str) -> None:
    page = visit(address)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    parts = "[...document.querySelectorAll('details{}')].{}((d) => d.open)"
    assert page.evaluate(parts.format(":not(.card)", "every"))
    # How each number is made fills many sheets: it stays closed.
    assert page.locator("details.card").count() > 1
    assert not page.evaluate(parts.format(".card", "some"))
    assert page.locator("nav.bar").is_hidden()
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert not page.evaluate("[...document.querySelectorAll('details')].every((d) => d.open)")


def test_the_numbers_of_a_plot_are_read_on_a_phone_without_swiping(
    visit: Visit, address: str
) -> None:
    page = visit(address, width=390, height=844)
    lines = page.locator(f"#{COUNTED} > ul.narrow > li")
    rows = committed_context()["views"][COUNTED]["in_words"]
    assert lines.count() == len(rows) > 2
    for line, (label, words) in zip(lines.all(), rows, strict=True):
        assert line.inner_text() == f"{label}: {words}"
        for part in (line, line.locator("span")):
            box = part.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    page.set_viewport_size({"width": 1280, "height": 900})
    assert not lines.first.is_visible()


@pytest.mark.parametrize(
    ("file", "heading"),
    [
        ("report.html", "In absolute numbers"),
        ("questions/rare_and_lasting_harms.html", "What the source says"),
        ("questions/next_trial.html", "Looked for"),
    ],
)
def test_on_paper_the_head_of_a_table_stands_over_rows(
    visit: Visit, folder: str, tmp_path: Path, file: str, heading: str
) -> None:
    page = visit(f"{folder}/{file}")
    made = tmp_path / "page.pdf"
    page.pdf(path=made, format="A4", prefer_css_page_size=True)
    text = subprocess.run(
        ["pdftotext", "-layout", str(made), "-"], capture_output=True, check=True
    ).stdout.decode("utf-8")
    seen = [sheet.rpartition(heading)[2] for sheet in text.split("\f") if heading in sheet]
    assert seen and all(len(after.split()) > 20 for after in seen)


def test_missing_browser_is_a_failure_where_ci_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("report_pages.chromium", lambda: None)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Chromium"), browser():
        pass
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="NOT tested"), browser():
        pass
