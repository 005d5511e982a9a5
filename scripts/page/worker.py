"""The process that reads pictures for the page: `python -m scripts.page.worker RECOGNIZER INBOX [MODULE …]`.

It is started by `reader`. On stdout, it first reports that it is ready, or why not, and then answers requests from
stdin with one JSON line each, until stdin ends.
"""

from __future__ import annotations

import json
import os
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from trainer.errors import InkwellError
from trainer.text import first_line

from .inbox import NotKept, keep

if TYPE_CHECKING:
    from models.recognizer import Recognizer


def main(path: Path, inbox: Path, imports: Sequence[str]) -> None:
    """Import the modules, load the recognizer in `path` and answer requests, keeping pictures in `inbox`."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keep library output apart from answers
    try:
        recognizer = load(path, imports)
    except InkwellError as error:
        return say(answers, {"error": " ".join(str(error).splitlines())})
    except Exception as error:  # a broken model can raise anything
        return say(answers, {"error": f"cannot load {path}: {type(error).__name__}: {first_line(error)}"})
    say(answers, {"classes": recognizer.class_names})
    while line := requests.readline():
        request = json.loads(line)
        picture = requests.read(request["bytes"])
        say(answers, answer(recognizer, inbox, request, picture))


def load(path: Path, imports: Sequence[str] = ()) -> Recognizer:
    """Load a recognizer and read one picture with it, so that the first user does not wait for compilation."""
    from models.recognizer import Recognizer

    recognizer = Recognizer.load(path, imports)
    stroke = np.full((280, 280, 3), 255, np.uint8)
    stroke[60:220, 130:150] = 0
    read(recognizer, stroke, importance=True)
    return recognizer


def answer(recognizer: Recognizer, inbox: Path, request: Mapping[str, Any], content: bytes) -> dict[str, Any]:
    """Return the answer to a request, with its HTTP status as `status`."""
    from models.recognizer import open_picture

    try:
        picture = open_picture(content)
        if (label := request.get("label")) is None:
            return {"status": 200, **read(recognizer, picture, request["importance"])}
        kept = keep(inbox, label, picture, recognizer.class_names)
        return {"status": 200, "kept": str(kept.path), "is_new": kept.is_new}
    except NotKept as error:
        return {"status": 507, "error": " ".join(str(error).splitlines())}
    except InkwellError as error:
        return {"status": 422, "error": " ".join(str(error).splitlines())}
    except Exception as error:  # one picture must not end the page for everybody
        return {"status": 500, "error": f"cannot read this picture: {type(error).__name__}: {first_line(error)}"}


def read(recognizer: Recognizer, picture: np.ndarray, importance: bool) -> dict[str, Any]:
    """Return the reading of a picture, uint8 `[H, W, 3]`, with pixels and, if requested, their importance as base64."""
    (reading,) = recognizer.read([picture])
    heat = np.rint(255 * recognizer.importance(reading.seen)).astype(np.uint8) if importance else None
    height, width, channels = reading.seen.shape
    return {
        "label": reading.label,
        "probability": reading.probability,
        "probabilities": [round(float(p), 6) for p in reading.probabilities],
        "reason": reading.reason,
        "height": height,
        "width": width,
        "channels": channels,
        "seen": b64encode(reading.seen.tobytes()).decode(),
        "importance": b64encode(heat.tobytes()).decode() if heat is not None else None,
    }


def say(answers: BinaryIO, values: Mapping[str, Any]) -> None:
    """Write one line."""
    answers.write(json.dumps(values).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    except BrokenPipeError:  # the server has ended
        sys.exit(1)
