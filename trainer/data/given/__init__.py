"""The data that users give to `fit`, `evaluate` and `predict`, whatever their form."""
