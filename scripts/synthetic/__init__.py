"""Handwriting, photos and junk made by a random generator, for tests and for measuring how well pictures are read."""
