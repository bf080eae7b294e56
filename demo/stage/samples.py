"""The files that the shop works on, made at the first start."""

from pathlib import Path

from stage.landscape import write_photo
from stage.orderbook import write_orders


def prepare(folder: Path) -> None:
    """Write the samples that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in {"photo.jpg": write_photo, "orders.csv": write_orders}.items():
        if not (folder / name).exists():
            # A sample that was interrupted while being written must not be taken for a whole one.
            unfinished = folder / f"unfinished-{name}"
            write(unfinished)
            unfinished.rename(folder / name)
