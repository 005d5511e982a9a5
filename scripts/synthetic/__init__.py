"""Synthetic handwriting, photos and junk, for tests and for measuring how well pictures are read."""
