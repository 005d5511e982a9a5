"""`Shown`: an object that has a readable line at a prompt and a card in a notebook."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

from trainer.text import in_line, printable

LONGEST = 240
"""Characters of a line; names of files and classes may have any length."""


class Shown:
    """Base class: `_line` and `_card` say what is shown; neither reads much, and nothing that they raise gets out."""

    def _line(self) -> str:
        """Return the object in a few words, which `repr` puts in parentheses."""
        raise NotImplementedError

    def _card(self) -> str:
        """Return the object as HTML, its values escaped; by default its line."""
        from trainer.display.html import card

        return card(repr(self))

    def __repr__(self) -> str:
        try:
            line = printable(self._line())
        except Exception:  # half made, or its file is gone: whoever looks at it is looking for just that
            return object.__repr__(self)
        return f"{type(self).__name__}({line if len(line) <= LONGEST else line[: LONGEST - 1] + '…'})"

    def _repr_html_(self) -> str | None:
        """Return the card; None, so that a notebook shows the line, if there is none."""
        try:
            return str(self._card())
        except Exception:
            return None


def arguments(thing: Any, without: Collection[str] = ()) -> str:
    """Return the arguments that an object was made with, as far as it keeps them under their own names.

    Args:
        thing: The object.
        without: Arguments that are not shown, since they may hold a password.
    """
    kept = [name for name in inspect.signature(type(thing)).parameters if name in vars(thing) and name not in without]
    return ", ".join(f"{name}={in_line(repr(vars(thing)[name]))}" for name in kept)
