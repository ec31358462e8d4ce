"""Guarded cells, whole batch folders, and documents in four renderings."""

from __future__ import annotations

import csv
import io
import os
import re
import signal
import subprocess
import sys
from html.parser import HTMLParser
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from batches import SCHEMA
from helpers import each
from ketameta.errors import UsageError
from ketameta.evidence import batch_folders, guarded, printable, unguarded
from ketameta.paths import project_paths
from ketameta.review import (
    Bullets,
    Grid,
    Heading,
    Paragraph,
    Picture,
    as_html,
    as_markdown,
    as_text,
    csv_text,
    escape_markdown,
    holds_rows,
    print_document,
    start,
    table_csv,
    write_batch,
)


@pytest.mark.parametrize("cell", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\tx", "\r=1", "=HYPERLINK(1)"])
def test_text_that_a_spreadsheet_would_run_is_quoted(cell):
    assert guarded(cell) == f"'{cell}"
    assert unguarded(guarded(cell)) == cell


@pytest.mark.parametrize(
    "cell", ["-1.5", "+3", "-1,5", "1e-5", "-.5", "=", "-", "<=", "", "O'Neil"]
)
def test_numbers_and_single_signs_stay(cell):
    assert guarded(cell) == cell


@given(st.text())
def test_guarding_can_be_undone(cell):
    assert unguarded(guarded(cell)) == cell or cell.startswith("'")


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b"]), st.text(), min_size=1), max_size=4))
def test_no_exported_cell_is_a_formula(rows):
    text = csv_text(("a", "b"), rows)
    for line in csv.reader(io.StringIO(text, newline="")):
        for cell in line:
            assert guarded(cell) == cell


def test_rows_of_a_table_are_sorted_by_key_and_none_is_left_out():
    rows = [
        {"study_id": "b_2000", "arm_id": "x", "outcome": "depression", "time_days": day}
        for day in ("10", "9", "", "9")
    ]
    lines = table_csv(SCHEMA["outcomes"], rows).splitlines()[1:]
    assert [line.split(",")[4] for line in lines] == ["", "9", "9", "10"]


def test_a_batch_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "extracted" / "demo"
    write_batch(folder, {"studies.csv": "study_id\nfirst\n"})
    (folder / "second").mkdir()
    (folder / "second" / "outcomes.csv").write_text("kept", encoding="utf-8")

    def interrupted(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(start.os, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_batch(folder, {"studies.csv": "study_id\nother\n"}, replace=True)
    assert (folder / "studies.csv").read_text(encoding="utf-8") == "study_id\nfirst\n"
    assert [item.name for item in folder.parent.iterdir()] == ["demo"]

    write_batch(folder, {"studies.csv": "study_id\nother\n"}, replace=True)
    assert (folder / "studies.csv").read_text(encoding="utf-8") == "study_id\nother\n"
    assert (folder / "second" / "outcomes.csv").read_text(encoding="utf-8") == "kept"
    assert [item.name for item in folder.parent.iterdir()] == ["demo"]


def test_the_old_batch_comes_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "extracted" / "demo"
    write_batch(folder, {"studies.csv": "study_id\nfirst\n"})
    rename, calls = os.rename, []

    def second_fails(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError("no room")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(start.os, "rename", second_fails)
        with pytest.raises(OSError, match="no room"):
            write_batch(folder, {"studies.csv": "study_id\nother\n"}, replace=True)
    assert (folder / "studies.csv").read_text(encoding="utf-8") == "study_id\nfirst\n"
    assert [item.name for item in folder.parent.iterdir()] == ["demo"]


def test_a_batch_with_rows_is_not_written_over(tmp_path):
    folder = tmp_path / "demo"
    write_batch(folder, {"studies.csv": "study_id\n"})
    write_batch(folder, {"studies.csv": "study_id\nfirst\n"})
    with pytest.raises(UsageError, match="already holds rows"):
        write_batch(folder, {"studies.csv": "study_id\nother\n"})


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_rows_are_seen_whatever_the_line_ends(tmp_path, ends):
    folder = tmp_path / "demo"
    write_batch(folder, {"studies.csv": f"study_id,citation{ends}"})
    assert not holds_rows(folder)
    write_batch(folder, {"studies.csv": f"study_id,citation{ends}first,x{ends}"})
    assert holds_rows(folder)


def test_a_table_that_cannot_be_read_counts_as_rows(tmp_path):
    folder = tmp_path / "demo"
    write_batch(folder, {"studies.csv": "PK\x03\x04"})
    with pytest.raises(UsageError, match="already holds rows"):
        write_batch(folder, {"studies.csv": "study_id\n"})


#: Kills itself at a step of writing a batch over another.
KILLED = """
import os, signal, sys
from pathlib import Path
from ketameta.review import start as batch_files
step, calls = int(sys.argv[2]), []
rename = os.rename
def counted(source, target):
    calls.append(source)
    if len(calls) == step:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
batch_files.os.rename = counted
batch_files.write_batch(Path(sys.argv[1]), {"studies.csv": "study_id\\nother\\n"}, replace=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a signal of POSIX")
@pytest.mark.parametrize("step", [1, 2])
def test_the_next_import_clears_away_what_a_killed_one_left(tmp_path, step):
    paths = project_paths(tmp_path)
    folder = paths.extracted / "demo"
    write_batch(folder, {"studies.csv": "study_id\nfirst\n"})
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(step)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert folder.exists() == (step == 1)
    write_batch(paths.extracted / "another", {"studies.csv": "study_id\n"})
    assert sorted(item.name for item in paths.extracted.iterdir()) == ["another", "demo"]
    assert (folder / "studies.csv").read_text(encoding="utf-8") == "study_id\nfirst\n"


def test_a_half_written_batch_is_not_read(tmp_path):
    paths = project_paths(tmp_path)
    (paths.extracted / ".demo.new-abc").mkdir(parents=True)
    (paths.extracted / "demo").mkdir()
    assert [folder.name for folder in batch_folders(paths)] == ["demo"]


DOCUMENT = (
    Heading("What changes", 1),
    Paragraph("One of two.", strong=True),
    Bullets(("first", "second")),
    Grid(("trial", "k"), (("alder_2014", "3"), ("a|b", "12")), frozenset({1})),
    Picture(b"<svg/>", "Before: nothing", "Before"),
)


def test_text_has_aligned_columns_and_no_picture():
    assert as_text(DOCUMENT) == (
        "What changes\n============\n\nOne of two.\n\n- first\n- second\n\n"
        "trial        k\n----------  --\nalder_2014   3\na|b         12\n"
    )


def test_markdown_is_a_table_and_data_add_no_markup():
    text = as_markdown(DOCUMENT)
    assert "## What changes" in text
    assert "| trial | k |\n| --- | ---: |\n| alder_2014 | 3 |\n| a\\|b | 12 |" in text
    assert escape_markdown("*x* @all [a](b)\n<img> _y_ a_b `c`") == (
        r"\*x\* @&#8203;all \[a\](b) &lt;img&gt; \_y\_ a_b \`c\`"
    )


class _Parts(HTMLParser):
    """The tags of a page, and its texts between them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.texts.append("")

    def handle_endtag(self, tag):
        self.texts.append("")

    def handle_data(self, data):
        self.texts[-1:] = [(self.texts[-1] if self.texts else "") + data]


#: What a site that shows comments makes live in a text after Markdown has been rendered: mentions,
#: references to issues and commits, addresses, formulas, emoji.
_MADE_LIVE = re.compile(
    r"@[A-Za-z0-9]|#\d|GH-\d|://|www\.|(?:mailto|xmpp):\w|\$\S|\S\$|:[a-z0-9_+-]+:"
    r"|(?<!\w)(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}(?!\w)",
    re.IGNORECASE,
)
HOSTILE = [
    "@someone", "x@someone @org/team", "#1 fixes #23", "owner/name#4", "GH-5",
    "https://example.org/a", "HTTP://x.y", "ftp://x", "www.example.org", "a@example.org",
    "mailto:a@b.co", "xmpp:x@y.z", "$x$", "$`x`$", "$$x$$", "![a](https://example.org/a.png)",
    "[a](b)", "[a]: b", "<img src=x>", "<!-- x", "<script>x</script>", "&#64;someone",
    "&commat;all", "&lt;b&gt;", "`x`", "```", "~~x~~", "**x**", "_x_", "# x", "- x", "1. x", "---",
    "===", "> x", "a|b", "\\|", "\\", "\\@x", "\\#1", ":smile:", "deadbeef", "0123abc",
    "a\nb", "a\u202eb", "\x1b[31mred", "\u2028@x", "+ x", "* x", "2014) x",
]  # fmt: skip


@each(product(HOSTILE, ["heading", "paragraph", "strong", "bullet", "cell", "column"]))
def test_nothing_in_a_comment_is_live(text, place):
    block = {
        "heading": Heading(text),
        "paragraph": Paragraph(text),
        "strong": Paragraph(text, strong=True),
        "bullet": Bullets((text,)),
        "cell": Grid(("trial",), ((text,),)),
        "column": Grid((text,), (("alder",),), title=text),
    }[place]
    rendered = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    found = _Parts(rendered.render(as_markdown([block])))
    own = {"h3", "p", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "span"}
    assert found.tags <= own
    assert [piece for piece in found.texts if _MADE_LIVE.search(piece)] == []
    plain = "".join(found.texts).replace("\u200b", "")
    assert printable(" ".join(text.split())) in plain, "what is inert still says what it said"


def test_a_plain_copy_of_a_comment_mentions_nobody():
    # An answer by mail quotes the text without its markup.
    text = "".join(_Parts(MarkdownIt().render(as_markdown([Paragraph("by @all")]))).texts)
    assert "@all" not in text and "@\u200ball" in text


@pytest.mark.parametrize("text", ["a\n::error::b", "##[error]x", "\x1b[31mred", "\r::warning::"])
def test_plain_text_and_terminals_get_no_commands(text, capsys):
    document = [Heading(text), Paragraph(text), Bullets((text,)), Grid((text,), ((text,),))]
    print_document(document)
    for shown in (as_text(document), capsys.readouterr().out):
        assert all(c.isprintable() for line in shown.split("\n") for c in line)
        assert "##[" not in shown
        assert not any(line.lstrip().startswith("::") for line in shown.split("\n"))


def test_the_page_is_self_contained_and_escaped():
    page = as_html((*DOCUMENT, Paragraph("<script>alert(1)</script>")), "A & B")
    assert "<script>" not in page
    assert "<title>A &amp; B</title>" in page
    assert 'src="data:image/svg+xml;base64,' in page and 'alt="Before: nothing"' in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_batch_that_may_not_be_written_is_named_by_its_folder(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied", "/somewhere/.demo.new-x")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(PermissionError, match="cannot be written") as refused:
        write_batch(tmp_path / "demo", {"studies.csv": "x"})
    assert refused.value.filename == str(tmp_path / "demo")
