"""The kinds of names on the command line of `fit.py`, with the flags that take them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer import registry
from trainer.config.recipes import recipe_names
from trainer.data.augmentation.strength import STRENGTHS
from trainer.registry import Entry

RECIPES = Path(__file__).parents[1] / "recipes"
STRENGTH = "trainer.data.augmentation.strength:Strength"


@dataclass(frozen=True)
class Kind:
    """Named things of one kind.

    Attributes:
        noun: Word for one of them.
        about: Short description of them.
        flag: Flag that takes their names.
        entries: Function that returns all known ones.
        given: Arguments that the trainer sets, not the user.
    """

    noun: str
    about: str
    flag: str
    entries: Callable[[], Iterable[Entry]]
    given: tuple[str, ...] = ()


def _augmentations() -> list[Entry]:
    texts = {
        "none": "training images as they are",
        "light": "small shifts, rotations, zooms and shears",
        "strong": "larger ones, elastic distortion, erased rectangles, other brightness and contrast",
    }
    return [Entry(name, STRENGTH, texts[name]) for name in STRENGTHS]


def _recipes() -> list[Entry]:
    return [Entry(name, "") for name in recipe_names(RECIPES)]


KINDS: Mapping[str, Kind] = {
    "models": Kind("model", "architectures", "--model", registry.models.entries, ("input_shape", "num_classes")),
    "plugins": Kind("plugin", "extensions of the training loop", "--plugin", registry.plugins.entries),
    "tasks": Kind("task", "tasks to learn", "--task", registry.tasks.entries),
    "data": Kind("data source", "images to learn from", "--data", registry.data_sources.entries, ("folder",)),
    "augmentations": Kind("augmentation", "random changes to training images", "--augment", _augmentations),
    "recipes": Kind("recipe", "complete configurations, with measured time and accuracy", "--recipe", _recipes),
}
"""By the word that `--list` takes."""
