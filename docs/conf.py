"""How the site is built: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import generate  # noqa: E402

import ketameta  # noqa: E402

generate.main()

project = "ketameta"
author = copyright = "The ketameta authors"
version = release = ketameta.__version__
language = "en"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
]
exclude_patterns = ["_build", "Thumbs.db"]
html_theme = "pydata_sphinx_theme"
html_title = "ketameta"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 4,
    "navbar_end": ["theme-switcher"],
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "search_bar_text": "Search commands, options, columns, names",
    "use_edit_page_button": False,
}
html_show_sourcelink = False
#: Nothing is fetched when the site is read: search, mathematics and fonts are part of it.
html_use_opensearch = ""

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["deflist", "attrs_block"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_in_temp = False
nb_merge_streams = True
suppress_warnings = ["mystnb.unknown_mime_type"]
