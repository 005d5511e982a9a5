"""Sphinx configuration of these pages: `python -m sphinx -W docs docs/_build`."""

from importlib.metadata import version as version_of

project = "Inkwell"
copyright = "the Inkwell authors, MIT licence"
version = release = version_of("inkwell-trainer")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Inkwell"
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are stored with their outputs; scripts/notebooks.py makes them
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
