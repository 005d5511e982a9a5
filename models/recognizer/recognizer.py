"""Reads digits in pictures with a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.recognizer.find.framing import frame
from models.recognizer.find.ink import Ink, find_ink
from models.recognizer.find.lines import lines_of, typical_height
from models.recognizer.find.pieces import Piece, gap, ink_of, joined, one_digit, pieces_of
from models.recognizer.find.touching import Part, cut_apart
from models.recognizer.judge.importance import importance
from models.recognizer.judge.rejection import THRESHOLD, reason
from models.recognizer.judge.views import read_in_views, worth
from models.recognizer.plain import as_framed, scaled
from models.recognizer.reading import Box, Digit, Line, Reading
from models.recognizer.source import Source, load_source
from trainer.errors import DataError

SHEET = 1_500_000
"""Maximum pixels of a sheet of several digits; fewer suffice for one digit."""


class Recognizer:
    """A trained model, with the preparation that pictures need.

    A model of the ten digits in gray reads handwriting: ink is found, framed, read, and refused if it is not a digit.
    For any other model, pictures are scaled to its input size, and none is refused.

    Args:
        source: The model as a function, with its class names and input shape.
    """

    def __init__(self, source: Source) -> None:
        self.class_names = source.class_names
        self.input_shape = source.input_shape
        self.classify = source.classify
        self._threshold = source.rejection.get("threshold", THRESHOLD)
        self._handwriting = source.handwriting

    @classmethod
    def load(cls, path: Path, imports: Sequence[str] = ()) -> Recognizer:
        """Load the model of a run directory, a checkpoint or an exported folder.

        Args:
            path: Location of the model.
            imports: Modules that register parts of a run's model; see `trainer.runs.trained.load_trained`.

        Raises:
            UsageError: If `path` is none of these.
            InkwellError: If the model is damaged or cannot be used here.
        """
        return cls(load_source(path, imports))

    def read(self, pictures: Sequence[np.ndarray]) -> list[Reading]:
        """Return one reading per picture.

        Args:
            pictures: uint8 `[H, W, 3]` as returned by `open_picture`, `[H, W, 1]` or `[H, W]`; sizes may differ.
        """
        looks = [self._look(_flat(picture)) for picture in pictures]
        return self._readings([seen for seen, _ in looks], [trouble for _, trouble in looks])

    def read_many(self, picture: np.ndarray) -> list[Line]:
        """Return the lines of digits in a picture, in reading order; empty if it is blank.

        Args:
            picture: uint8 `[H, W, 3]`, `[H, W, 1]` or `[H, W]`.

        Raises:
            DataError: If the model does not read handwritten digits.
        """
        if not self._handwriting:
            names = ", ".join(self.class_names)
            raise DataError(f"cannot read numbers: it takes a model of ten digits in gray, and this one is of {names}")
        ink = find_ink(_flat(picture), SHEET)
        found, numbers = pieces_of(ink.mask)
        lines = [self._line(ink, numbers, pieces) for pieces in lines_of(found)]
        return [line for line in lines if line]

    def importance(self, seen: np.ndarray) -> np.ndarray:
        """Return how much each pixel mattered for the reading, float32 `[H, W]` in [0, 1].

        Args:
            seen: The image that the model saw, uint8 `[H, W, C]`; see `Reading.seen`.
        """
        return importance(seen, self.classify)

    def _look(self, picture: np.ndarray) -> tuple[np.ndarray, str | None]:
        """Return a picture in the model's form, and why it cannot be one digit, if that is already known."""
        if not self._handwriting:
            return scaled(picture, self.input_shape), None
        if (framed := as_framed(picture, self.input_shape)) is not None:
            return framed, None
        ink = find_ink(picture)
        piece, others, numbers = one_digit(ink)
        if piece is None:
            return np.zeros(self.input_shape, np.uint8), "blank"
        trouble = f"not one digit: {1 + len(others)} pieces" if others else None
        return self._framed(ink_of(ink, numbers, piece)[0]), trouble

    def _line(self, ink: Ink, numbers: np.ndarray, pieces: list[Piece]) -> Line | None:
        """Return the reading of pieces of ink that stand side by side, with touching digits cut apart.

        Returns None if on the whole they are not digits but, for example, a scribble or the edge of the table.
        """
        height = typical_height(pieces)
        parts: list[Part] = []
        boxes: list[Box] = []
        for piece in self._put_together(ink, numbers, pieces, height):
            own, (top, left) = ink_of(ink, numbers, piece)
            for part in cut_apart(own, height, self._likelihoods):
                edges = (left + part.left, top + part.top, left + part.right, top + part.bottom)
                x0, y0, x1, y1 = (round(edge * ink.scale) for edge in edges)
                parts.append(part)
                boxes.append((x0, y0, x1, y1))
        seen = [self._framed(part.ink) for part in parts]
        probabilities, worths = read_in_views(np.stack(seen), self.classify)
        if worths.mean() < self._threshold:
            return None
        return Line(tuple(map(Digit, map(self._reading, probabilities, seen), boxes)))

    def _put_together(self, ink: Ink, numbers: np.ndarray, pieces: list[Piece], height: float) -> list[Piece]:
        """Return pieces, joining neighbours that read better as one digit, such as a 4 of two strokes."""
        whole = pieces[:1]
        for piece in pieces[1:]:
            both = joined(whole[-1], piece)
            if gap(whole[-1], piece) < 0.15 * height and both.width < 0.85 * height:
                left, right, one = self._likelihoods([ink_of(ink, numbers, p)[0] for p in (whole[-1], piece, both)])
                if one > max(0.5, 1.2 * left * right):
                    whole[-1] = both
                    continue
            whole.append(piece)
        return whole

    def _likelihoods(self, inks: Sequence[np.ndarray]) -> np.ndarray:
        """Return the probability that each piece of ink is one known digit, `[N]`."""
        seen = np.stack([self._framed(ink) for ink in inks])
        return worth(seen, self.classify(seen))

    def _readings(self, seen: Sequence[np.ndarray], troubles: Sequence[str | None]) -> list[Reading]:
        """Return the readings of framed images, refused for the given trouble or because of what the model sees."""
        if not seen:
            return []
        if not self._handwriting:
            return list(map(self._reading, self.classify(np.stack(seen)).astype(np.float64), seen))
        probabilities, worths = read_in_views(np.stack(seen), self.classify)
        reasons = [
            trouble or reason(w, p, self.class_names, self._threshold)
            for w, p, trouble in zip(worths, probabilities, troubles, strict=True)
        ]
        readings = map(self._reading, probabilities, seen)
        return [replace(r, label=None, reason=why) if why else r for r, why in zip(readings, reasons, strict=True)]

    def _reading(self, probabilities: np.ndarray, seen: np.ndarray) -> Reading:
        """Return a reading that is accepted."""
        return Reading(self.class_names[probabilities.argmax()], float(probabilities.max()), probabilities, None, seen)

    def _framed(self, ink: np.ndarray) -> np.ndarray:
        return frame(ink, self.input_shape[0])[..., np.newaxis]


def _flat(picture: np.ndarray) -> np.ndarray:
    """Return a gray picture without its channel axis."""
    return picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture
