"""The import of twelve pictures, in parts: a thumbnail of each, and a contact sheet of all."""

from typing import Any

from django.conf import settings
from PIL import Image, ImageFilter, ImageOps

from offload import UserFacingError, WorkflowResult, progress, track
from shop.imaging import GAP, PAPER
from shop.models import PictureImport

COLUMNS, ROWS = 4, 3
NUMBERS = range(1, COLUMNS * ROWS + 1)
EDGE = 320


class DamagedPicture(UserFacingError):
    """A file that holds only a part of its picture."""


def receive(import_id: int, damaged: int | None) -> int:
    """Cut the sample photo into the pictures; write only half of the file of a damaged one."""
    files = PictureImport(pk=import_id)
    files.folder.mkdir(parents=True, exist_ok=True)
    photo = sample_photo()
    for number in track(NUMBERS, "Receiving pictures"):
        write_original(files, photo, number)
    if damaged:
        path = files.original(damaged)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return len(NUMBERS)


def repair(flow: WorkflowResult) -> None:
    """Write the pictures again whose parts of an import have failed."""
    photo = sample_photo()
    for part in flow.failures():
        if part.task.name == "make_thumbnail":
            write_original(PictureImport(pk=part.kwargs["import_id"]), photo, part.args[0])


def make_thumbnail(number: int, import_id: int) -> dict[str, Any]:
    """Make one picture smaller, take the grain out of it, and describe the result.

    Raises:
        DamagedPicture: if a part of its file is missing.
    """
    files = PictureImport(pk=import_id)
    progress(1, 4, "Reading")
    try:
        with Image.open(files.original(number)) as image:
            picture = image.convert("RGB")
    except OSError as error:
        raise DamagedPicture(f"The file of picture {number} is not complete.") from error
    progress(2, 4, "Making it smaller")
    picture.thumbnail((2 * EDGE, 2 * EDGE), Image.Resampling.LANCZOS)
    progress(3, 4, "Removing the grain")
    picture = picture.filter(ImageFilter.MedianFilter(3))
    picture.thumbnail((EDGE, EDGE), Image.Resampling.LANCZOS)
    return save(files, f"{number}.jpg", picture) | {"number": number}


def make_sheet(thumbnails: list[dict[str, Any]], import_id: int) -> dict[str, Any]:
    """Put all thumbnails on one sheet, in the order of their numbers."""
    files = PictureImport(pk=import_id)
    width = max(thumbnail["width"] for thumbnail in thumbnails) + GAP
    height = max(thumbnail["height"] for thumbnail in thumbnails) + GAP
    sheet = Image.new("RGB", (COLUMNS * width + GAP, ROWS * height + GAP), PAPER)
    for place, thumbnail in enumerate(track(thumbnails, "Pasting thumbnails")):
        row, column = divmod(place, COLUMNS)
        thumbnail |= {"left": GAP + column * width, "top": GAP + row * height}
        with Image.open(files.folder / f"{thumbnail['number']}.jpg") as picture:
            sheet.paste(picture, (thumbnail["left"], thumbnail["top"]))
    return {"sheet": save(files, "sheet.jpg", sheet), "thumbnails": thumbnails}


def area(number: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the area of a picture in the photo."""
    row, column = divmod(number - 1, COLUMNS)
    width, height = size[0] // COLUMNS, size[1] // ROWS
    return column * width, row * height, (column + 1) * width, (row + 1) * height


def sample_photo() -> Image.Image:
    """Return the sample photo."""
    with Image.open(settings.SAMPLES / "photo.jpg") as image:
        return ImageOps.exif_transpose(image)


def write_original(files: PictureImport, photo: Image.Image, number: int) -> None:
    """Write one picture as it would arrive."""
    photo.crop(area(number, photo.size)).save(files.original(number), quality=92)


def save(files: PictureImport, name: str, picture: Image.Image) -> dict[str, Any]:
    """Write a picture that the import makes and describe it."""
    picture.save(files.folder / name, quality=88)
    return {"url": files.url(name), "width": picture.width, "height": picture.height}
