"""Reads handwritten digits in pictures: finds the ink, frames it like the training images, and reads or refuses it."""

from models.recognizer.picture import open_picture
from models.recognizer.reading import Box, Digit, Line, Reading
from models.recognizer.recognizer import Recognizer

__all__ = ["Box", "Digit", "Line", "Reading", "Recognizer", "open_picture"]
