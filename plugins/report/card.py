"""Writes `report/model_card.md`: what the model is for, how it was made, and where it fails.

In the form of Hugging Face's model cards (Mitchell et al. 2019, arXiv 1810.03993): a YAML head for machines, then
sections for people.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from plugins.report.contents import Contents
from plugins.report.page import environment
from trainer.files import write_atomic


def write_card(contents: Contents) -> Path:
    """Write the model card of a run that is done, and return where it is.

    Args:
        contents: The contents of its report; its folder has a folder `report`.
    """
    card = environment().get_template("card.md").render(contents=contents, head=head(contents))
    path = contents.folder / "report" / "model_card.md"
    write_atomic(path, re.sub(r"\n{3,}", "\n\n", card))
    return path


def head(contents: Contents) -> str:
    """Return the YAML head; JSON is YAML, so that any name is quoted as it must be."""
    values = {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["inkwell", "tensorflow", contents.model],
        "datasets": [contents.data.get("name", "unknown")],
        "metrics": ["accuracy"],
        "model-index": [{"name": contents.name, "results": [_result(contents)]}],
    }
    return "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())


def _result(contents: Contents) -> dict[str, Any]:
    name = contents.data.get("name", "unknown")
    test = contents.result.get("test") or {}
    numbers = {key: test[key] for key in ("accuracy", "ece", "nll") if test.get(key) is not None}
    if contents.means:
        numbers["mnist_c_mean_accuracy"] = contents.means["all"]["mean"]
    return {
        "task": {"type": "image-classification"},
        "dataset": {"name": name, "type": name, "split": "test"},
        "metrics": [{"type": key, "value": round(value, 6)} for key, value in numbers.items()],
    }
