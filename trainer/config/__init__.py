"""The configuration of a run: its schema, where its values come from, and the objects that it names."""
