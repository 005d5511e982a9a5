"""Whether data fit in memory, asked before they are read."""

from __future__ import annotations

from trainer.errors import DataError


def refuse_if_too_large(size: int, what: str) -> None:
    """Raise if `size` bytes are more than half of the memory that is available now.

    Half, because images are copied once when they are put in canonical order.

    Raises:
        DataError: If they are; the message begins with `what`.
    """
    import psutil

    available = psutil.virtual_memory().available
    if size > available // 2:
        raise DataError(
            f"{what}: {size / 1e9:,.1f} GB of images do not fit in half of the {available / 1e9:,.1f} GB of "
            "memory that are available; choose a smaller set, or smaller images"
        )
