"""The sample photo: mountains at dusk, drawn by the program."""

import random
from itertools import chain, pairwise
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageOps

SIZE = (6000, 4000)


def write_photo(path: Path) -> None:
    """Write the picture as a JPEG file, grainy as from a camera."""
    picture = ImageChops.screen(sky(), sun())
    for ridge, colour in enumerate(("#7d6a8c", "#524d75", "#2f3557", "#171d33")):
        draw_ridge(picture, ridge, colour)
    grain = Image.effect_noise(SIZE, 80).convert("RGB")
    Image.blend(picture, grain, 0.06).save(path, quality=88)


def sky() -> Image.Image:
    """Return a sky that is blue above and orange below."""
    orange = Image.new("RGB", SIZE, "#ff8f4a")
    blue = Image.new("RGB", SIZE, "#1d2f6b")
    return Image.composite(orange, blue, Image.linear_gradient("L").resize(SIZE))


def sun() -> Image.Image:
    """Return a warm glow on black."""
    width, height = SIZE
    glow = ImageChops.invert(Image.radial_gradient("L"))
    dark = glow.getpixel((0, 128))
    bright = glow.point(lambda value: max(0, value - dark) ** 2 // 150)
    light = Image.new("L", SIZE)
    light.paste(bright.resize((height, height)), (width // 3, height // 16))
    return ImageOps.colorize(light, "black", "#fff0c0", mid="#c06a28")


def draw_ridge(picture: Image.Image, ridge: int, colour: str) -> None:
    """Draw one chain of mountains; the higher its number, the nearer and lower it is."""
    chance = random.Random(ridge + 4)
    width, height = picture.size
    heights = [chance.uniform(-1, 1) for _ in range(5)]
    for roughness in (0.5, 0.3, 0.16, 0.09, 0.05, 0.025, 0.012):
        between = [
            (left + right) / 2 + chance.uniform(-roughness, roughness)
            for left, right in pairwise(heights)
        ]
        heights = [*chain.from_iterable(zip(heights, between, strict=False)), heights[-1]]
    step = width / (len(heights) - 1)
    base = height * (0.5 + 0.12 * ridge)
    line = [(place * step, base - y * height * 0.09) for place, y in enumerate(heights)]
    ImageDraw.Draw(picture).polygon([*line, (width, height), (0, height)], fill=colour)
