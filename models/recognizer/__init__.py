"""Reads handwritten digits in pictures: ink is found, framed as the model knows it, and read, or refused."""

from models.recognizer.picture import open_picture
from models.recognizer.reading import Box, Digit, Line, Reading
from models.recognizer.recognizer import Recognizer

__all__ = ["Box", "Digit", "Line", "Reading", "Recognizer", "open_picture"]
