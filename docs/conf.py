"""How Sphinx builds these pages: `python -m sphinx -W docs docs/_build`."""

from importlib.metadata import version as version_of

project = "Inkwell"
copyright = "the Inkwell authors, MIT licence"
version = release = version_of("inkwell-trainer")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Inkwell"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
