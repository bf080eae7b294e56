"""The sample files, created at the first start."""

from pathlib import Path

from support.sample_orders import write_orders
from support.sample_photo import write_photo


def prepare(folder: Path) -> None:
    """Write the missing sample files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in {"photo.jpg": write_photo, "orders.csv": write_orders}.items():
        if not (folder / name).exists():
            # A file that was only partly written must not look complete.
            unfinished = folder / f"unfinished-{name}"
            write(unfinished)
            unfinished.rename(folder / name)
