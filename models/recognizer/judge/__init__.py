"""Judges what was found: whether it is a digit at all, how sure the reading is, and which pixels mattered."""
