"""Looks at what data really are, before step 0: finite, in range, batched, weighted, balanced."""
