"""Writes `report/model_card.md`: the purpose of the model, how it was made, and where it fails.

In the form of Hugging Face's model cards (Mitchell et al. 2019, arXiv 1810.03993): a YAML head for machines, then
sections for people.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from markupsafe import Markup

from plugins.report.contents import Contents
from plugins.report.next_steps import commands
from plugins.report.rendering import environment, in_shell
from trainer.files import to_json, write_atomic
from trainer.result import own_scores
from trainer.text import printable

KIND = "image-classification"
"""Hugging Face's name of the task."""


def write_card(contents: Contents) -> Path:
    """Write the model card of a run that is done, and return its path.

    Args:
        contents: The contents of its report, whose folder exists.
    """
    templates = environment(plain, _in_code)
    card = templates.get_template("card.md").render(
        contents=contents,
        test=contents.test,
        head=Markup(head(contents)),
        commands=[Markup(each.line) for each in commands(contents)],
    )
    path = contents.folder / "report" / "model_card.md"
    write_atomic(path, re.sub(r"\n{3,}", "\n\n", card))
    return path


def plain(value: Any) -> Any:
    """Return text in one line that Markdown and HTML show as it is; what is marked as safe stays as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = re.sub(r"([\\`*_{}\[\]<>|#~&$@])", r"\\\1", printable(value))
    text = re.sub(r"^(\d*)([-+.)])(?=\s)", r"\1\\\2", text)  # would begin a list
    return re.sub(r"^(?=[-=]{2,}$)", r"\\", text)  # would make a heading of the line above


def _in_code(value: Any) -> str:
    """Return a value as a word of a command line in a block of code, in which nothing is escaped."""
    return Markup(in_shell(value))


def head(contents: Contents) -> str:
    """Return the YAML head; JSON is YAML, so that any name is quoted as it must be."""
    values = {
        "library_name": "keras",
        **({"pipeline_tag": KIND} if contents.classifies else {}),
        "tags": ["inkwell", "tensorflow", contents.model],
        "datasets": [contents.data.get("name", "unknown")],
        "metrics": ["accuracy"] if contents.classifies else list(own_scores(contents.result.get("test") or {})),
        "model-index": [{"name": contents.name, "results": [_result(contents)]}],
    }
    text = "\n".join(f"{key}: {to_json(value, indent=None)}".rstrip() for key, value in values.items())
    return text.replace("<", "\\u003c")  # for what shows the head as part of the page


def _result(contents: Contents) -> dict[str, Any]:
    name = contents.data.get("name", "unknown")
    test = contents.result.get("test") or {}
    keys = ("accuracy", "ece", "nll") if contents.classifies else ("loss", *own_scores(test))
    numbers = {key: test[key] for key in keys if test.get(key) is not None}
    if contents.test.means:
        numbers["mnist_c_mean_accuracy"] = contents.test.means["all"]["mean"]
    return {
        "task": {"type": KIND if contents.classifies else "other"},
        "dataset": {"name": name, "type": name, "split": "test"},
        "metrics": [{"type": key, "value": round(value, 6)} for key, value in numbers.items()],
    }
