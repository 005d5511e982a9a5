"""The two ends of a run: everything before its first step and after its last."""
