"""The configuration of a run: its schema, the sources of its values, and the objects that it names."""
