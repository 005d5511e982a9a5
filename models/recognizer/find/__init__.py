"""Finds the ink in a picture, the pieces that form a digit, and the lines that digits form."""
