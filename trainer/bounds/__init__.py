"""Reading what others wrote: sizes are bounded before memory or time is taken, one kind of content per file.

| content | file | limits |
|---|---|---|
| any file | `regular.py` | a regular file, never a pipe or a device; no longer than the caller says |
| JSON | `plain.py` | 64 levels, 1,000,000 tables and lists, 100 digits per number |
| TOML | `plain.py` | 64 levels, 1 MiB, 32 names per dotted key, 100 digits per number |
| `.npz`, `.npy` | `arrays.py` | 10,000 members, 10,000 bytes of header per array, no more bytes than are there |

Pictures have their limits in `trainer/data/sources/image.py`, the files of a checkpoint in
`trainer/checkpoint/content.py`.
"""
