"""Starting TensorFlow and Keras: settings before the import, quiet and quick imports, Keras's own defaults."""

from trainer.startup.chatter import without_chatter
from trainer.startup.importing import EXTRAS, IMPORTING, collector_paused, without
from trainer.startup.keras_settings import keras_defaults
from trainer.startup.machine import Environment, clock_is_allowed, environment, usable_cores
from trainer.startup.starting import configure, start

__all__ = [
    "EXTRAS",
    "IMPORTING",
    "Environment",
    "clock_is_allowed",
    "collector_paused",
    "configure",
    "environment",
    "keras_defaults",
    "start",
    "usable_cores",
    "without",
    "without_chatter",
]
