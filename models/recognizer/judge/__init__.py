"""Judges what was found: whether it is a digit, how certain the reading is, and which pixels mattered."""
