"""Finds the ink in a picture, the pieces that make a digit, and the lines that digits make."""
