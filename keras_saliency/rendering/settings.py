"""`Pictures`: how maps become pictures, for TensorBoard's tabs."""

from __future__ import annotations

from dataclasses import dataclass

from keras_saliency.data.checks import check_choice, check_positive_int
from keras_saliency.rendering.heatmaps import SCALES, check_colormap


@dataclass(frozen=True)
class Pictures:
    """How maps become pictures.

    Args:
        scale: The value at the end of the colormap: `"epoch"`, the map's own maximum; `"probe"`,
            the probe's maximum in the run so far; `"shared"`, that of all probes.
        colormap: The name of a matplotlib colormap.
        map_size: The longer side in pixels of the maps that the SALIENCY tab gets; larger maps are
            averaged over blocks. `None`: it gets none.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a wrong value.

    Example:
        >>> Pictures(colormap="inferno")
        Pictures(scale='epoch', colormap='inferno', map_size=112)
    """

    scale: str = "epoch"
    colormap: str = "hot"
    map_size: int | None = 112

    def __post_init__(self) -> None:
        check_choice("scale", self.scale, SCALES)
        check_colormap(self.colormap)
        if self.map_size is not None:
            check_positive_int(
                "map_size", self.map_size, hint="It is a number of pixels; None keeps no maps."
            )


def checked_pictures(pictures: object) -> Pictures | None:
    """The settings for what a user gives as `pictures`.

    Args:
        pictures: `"auto"`, `Pictures`, or `None` for no pictures in the stock tabs.

    Raises:
        TypeError: Something else.
        ValueError: Another string.
    """
    if pictures is None or isinstance(pictures, Pictures):
        return pictures
    expected = "expected 'auto', None (no stock pictures) or ks.Pictures(...)"
    if not isinstance(pictures, str):
        raise TypeError(f"pictures: {expected}, received {pictures!r}.")
    if pictures != "auto":
        raise ValueError(f"pictures: {expected}, received {pictures!r}.")
    return Pictures()
