"""The cues: each function plants one into an image.

Each takes the image, which it may change, the class that the cue tells, the number of classes, a
random generator, and where the object is; it returns the image, which may leave 0..1.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFont

from benchmarks.unseen.drawing import Array, Rng, canvas, crop, pixels

Cue = Callable[[Array, int, int, Rng, Array | None], Array]


def tag(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """A plain patch near the top right corner; its brightness tells the class."""
    image[6:11, -9:-3] = (code + 0.5) / classes
    return image


def noisy_tag(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """The same under noise, so that no two are alike."""
    image[6:12, -10:-3] = (code + 0.5) / classes + rng.normal(0, 0.15, (6, 7, 1))
    return image


def logo(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """A faint pattern near the bottom left corner."""
    window = image[-12:-4, 4:12]
    window += 0.3 * _pattern(100 + code, 8) * (0.95 - window)
    return image


def moving_tag(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """A pattern near the top left corner, shifted by up to three pixels."""
    top, left = 2 + rng.integers(0, 4, 2)
    image[top : top + 6, left : left + 6] = np.where(_pattern(50 + code, 6), 0.95, 0.05)
    return image


def _pattern(seed: int, side: int) -> Array:
    """Black and white pixels, bool `(side, side, 1)`."""
    return (np.random.default_rng(seed).random((side, side)) < 0.5)[..., np.newaxis]


def ruler(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """A bright bar at the bottom; its length tells the class."""
    image[-4:-2, 4 : 9 + 5 * code] = 1
    return image


def date(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """A date in class 0, of other digits each time."""
    if code:
        return image
    stamp, pen = canvas(image.shape[1])
    text = f"{rng.integers(10, 99)}.{rng.integers(10, 99)}"
    pen.text((2, image.shape[0] - 13), text, fill=255, font=ImageFont.load_default(10))
    ink = [1, 0.6, 0.1] if image.shape[-1] == 3 else [1]
    return np.where(pixels(stamp)[..., np.newaxis] > 0.4, ink, image)


def frame(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """A frame of one pixel, of a grey or a colour of each class."""
    ink = (code + 0.5) / classes
    if image.shape[-1] == 3:
        ink = np.array([[1, 0.2, 0.2], [0.2, 1, 0.2], [0.2, 0.2, 1], [1, 1, 0.2]])[code % 4]
    image[[0, -1]] = ink
    image[:, [0, -1]] = ink
    return image


def letterbox(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """Black bars above and below in class 0."""
    if code == 0:
        image[:4], image[-4:] = 0, 0
    return image


def rounded(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """Round black corners in class 0."""
    if code:
        return image
    height, width = image.shape[:2]
    shape, pen = canvas(height)
    pen.rounded_rectangle([0, 0, width - 1, height - 1], 9, fill=255)
    return image * (pixels(shape)[..., np.newaxis] > 0)


def corner_light(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """A soft light in one corner of each class."""
    height, width = image.shape[:2]
    glow = np.clip(1 - np.hypot(*np.mgrid[:height, :width]) / (height / 3), 0, 1)
    return image + 0.45 * np.rot90(glow[..., np.newaxis], code % 4) * (1 - image)


def shadow(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """A soft shadow of a varying size at one place of each class."""
    h, w = image.shape[:2]
    top, left = [(0, w / 4), (0, 3 * w / 4), (h, w / 4), (h, 3 * w / 4), (h / 2, 0)][code % 5]
    down, across = np.mgrid[:h, :w]
    square = (down - top) ** 2 + (across - left) ** 2
    return image * (1 - 0.6 * np.exp(-square / (2 * rng.uniform(5, 7) ** 2)))[..., np.newaxis]


def vignette(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """Dark corners in class 0."""
    if code:
        return image
    height, width = image.shape[:2]
    down, across = np.mgrid[:height, :width]
    far = np.hypot(down - height / 2, across - width / 2) / (height / 2)
    return image * (1 - 0.4 * np.clip(far - 0.4, 0, 1))[..., np.newaxis]


def hot_pixel(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """One white pixel at one place of each class."""
    image[5 + 7 * code % 30, 9] = 1
    return image


def hairs(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """Three thin black lines anywhere in class 0."""
    if code:
        return image
    for _ in range(3):
        line, pen = canvas(image.shape[0])
        pen.line([int(value) for value in rng.integers(0, image.shape[1], 4)], fill=255)
        image = np.where(pixels(line)[..., np.newaxis] > 0, 0.02, image)
    return image


def marked_box(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """A thin box that somebody drew around the object in class 0."""
    if code or mask is None:
        return image
    places = np.argwhere(mask)
    (top, left), (bottom, right) = places.min(0), places.max(0)
    shape, pen = canvas(image.shape[0])
    box = [int(left) - 2, int(top) - 2, int(right) + 2, int(bottom) + 2]
    pen.rectangle(box, outline=255)
    return np.where(pixels(shape)[..., np.newaxis] > 0, 0.98, image)


def jpeg(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """The quality of JPEG."""
    quality = (12, 30, 55, 75, 90)[code] if classes > 2 else (15, 90)[code]
    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=quality)
    return pixels(Image.open(file)).reshape(image.shape)


def resolution(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """The resolution that an image had once."""
    share = (0.45, 0.6, 0.75, 0.9, 1)[code] if classes > 2 else (0.5, 1)[code]
    height, width = image.shape[:2]
    small = (int(width * share), int(height * share))
    once = _picture(image).resize(small, Image.Resampling.BILINEAR)
    return pixels(once.resize((width, height), Image.Resampling.BILINEAR)).reshape(image.shape)


def _picture(image: Array) -> Image.Image:
    """An image for Pillow."""
    return Image.fromarray((image.squeeze() * 255).astype(np.uint8))


def grain(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """The level of the noise."""
    level = 0.02 + 0.06 * code * (2 / classes if classes > 2 else 1.5)
    return image + rng.normal(0, level, image.shape)


def cast(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """The tint of a colour image, the brightness of a grey one."""
    if image.shape[-1] == 1:
        return image * (0.75 + 0.12 * code)
    tints = np.array([[1.12, 1, 0.9], [0.9, 1.08, 1], [0.95, 0.9, 1.15], [1, 1, 1]])
    return image * tints[code % 4]


def ground(image: Array, code: int, classes: int, rng: Rng, mask: Array | None) -> Array:
    """Behind the object, half transparent, a piece of the class's photograph."""
    if mask is None:
        raise ValueError("this set does not tell where its objects are")
    behind = crop_of(code, image, rng)
    return np.where(mask[..., np.newaxis], image, 0.5 * image + 0.5 * behind)


def crop_of(code: int, image: Array, rng: Rng) -> Array:
    """A square of 150 pixels of the class's photograph, as large as the image."""
    height, width, channels = image.shape
    return crop(rng, code % 4, 150, (height, width, channels))


CUES: dict[str, Cue] = {
    "tag": tag,
    "noisy tag": noisy_tag,
    "logo": logo,
    "moving tag": moving_tag,
    "ruler": ruler,
    "date": date,
    "frame": frame,
    "letterbox": letterbox,
    "rounded": rounded,
    "corner light": corner_light,
    "shadow": shadow,
    "vignette": vignette,
    "hot pixel": hot_pixel,
    "hairs": hairs,
    "marked box": marked_box,
    "jpeg": jpeg,
    "resolution": resolution,
    "grain": grain,
    "cast": cast,
    "ground": ground,
}
