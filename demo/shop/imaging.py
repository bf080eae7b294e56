"""Smaller pictures of a photo, and a contact sheet of them."""

from typing import Any

from django.conf import settings
from PIL import Image, ImageOps

from offload import progress, track
from shop.models import Photo

EDGES = (1280, 640, 320, 160)
GAP = 24
PAPER = "#16181d"


def make_previews(photo_id: int) -> dict[str, Any]:
    """Write the thumbnails and the contact sheet of a photo; return their URLs."""
    photo = Photo.objects.get(pk=photo_id)
    progress(message="Reading the photo")
    with Image.open(photo.image.path) as image:
        thumbnails = shrink(image)
    corners = arrange(thumbnails)
    sheet = contact_sheet(thumbnails, corners)
    photo.previews.mkdir(parents=True, exist_ok=True)
    return {
        "sheet": save(photo, "contact-sheet.jpg", sheet),
        "thumbnails": [
            save(photo, f"{edge}.jpg", thumbnail) | {"left": left, "top": top}
            for edge, thumbnail, (left, top) in zip(EDGES, thumbnails, corners, strict=True)
        ],
    }


def shrink(image: Image.Image) -> list[Image.Image]:
    """Return the picture, upright, once for each of EDGES."""
    upright = ImageOps.exif_transpose(image).convert("RGB")
    return [
        ImageOps.contain(upright, (edge, edge), Image.Resampling.LANCZOS)
        for edge in track(EDGES, "Making thumbnails")
    ]


def arrange(thumbnails: list[Image.Image]) -> list[tuple[int, int]]:
    """Return the corners of the pictures on the sheet: the largest left, the others right."""
    corners = [(GAP, GAP)]
    left, top = thumbnails[0].width + 2 * GAP, GAP
    for thumbnail in thumbnails[1:]:
        corners.append((left, top))
        top += thumbnail.height + GAP
    return corners


def contact_sheet(thumbnails: list[Image.Image], corners: list[tuple[int, int]]) -> Image.Image:
    """Return one picture with all thumbnails."""
    placed = list(zip(thumbnails, corners, strict=True))
    width = max(left + thumbnail.width for thumbnail, (left, _) in placed) + GAP
    height = max(top + thumbnail.height for thumbnail, (_, top) in placed) + GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    for thumbnail, corner in placed:
        sheet.paste(thumbnail, corner)
    return sheet


def save(photo: Photo, name: str, picture: Image.Image) -> dict[str, Any]:
    """Write one picture beside the others and describe it."""
    picture.save(photo.previews / name, quality=88)
    return {
        "url": f"{settings.MEDIA_URL}previews/{photo.pk}/{name}",
        "width": picture.width,
        "height": picture.height,
    }
