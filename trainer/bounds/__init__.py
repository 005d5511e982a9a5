"""Readers for untrusted files, which check sizes before they use memory or time; one kind of content per module.

| content | module | limits |
|---|---|---|
| any file | `regular.py` | a regular file, never a pipe or a device; no longer than the caller allows |
| JSON | `plain.py` | 64 levels, 1,000,000 tables and lists, 100 digits per number |
| TOML | `plain.py` | 64 levels, 1 MiB, 32 names per dotted key, 100 digits per number |
| `.npz`, `.npy` | `arrays.py` | 10,000 members, 10,000 bytes of header per array, no more bytes than the file holds |

The limits of images are in `trainer/data/sources/image.py`, those of a checkpoint's files in
`trainer/checkpoint/content.py`.
"""
