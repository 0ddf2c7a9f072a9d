"""`Pictures`: how saliency maps are drawn for TensorBoard."""

from __future__ import annotations

from dataclasses import dataclass

from keras_saliency.data.checks import check_choice, check_positive_int, check_settings
from keras_saliency.rendering.heatmaps import SCALES, check_colormap


@dataclass(frozen=True)
class Pictures:
    """Settings for pictures of saliency maps.

    Args:
        scale: The value at the end of the colormap. `"epoch"`: the maximum of the map. `"probe"`:
            the maximum of the probe in the run so far. `"shared"`: the maximum of all probes in the
            run so far.
        colormap: The name of a matplotlib colormap.
        map_size: The longer side of the maps in the SALIENCY tab, in pixels. Larger maps are
            averaged over blocks. `None`: the tab gets no data.

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
            map_size = check_positive_int(
                "map_size",
                self.map_size,
                hint="Pass a number of pixels, or None to write no data for the SALIENCY tab.",
            )
            object.__setattr__(self, "map_size", map_size)


def checked_pictures(pictures: object) -> Pictures | None:
    """Checks the argument `pictures` and returns the settings.

    Args:
        pictures: `"auto"`, `Pictures`, or `None` for no pictures in TensorBoard's own tabs.

    Raises:
        TypeError: `pictures` has the wrong type.
        ValueError: `pictures` is another string.
    """
    if pictures is None:
        return None
    return check_settings(
        "pictures", pictures, {"auto": Pictures()}, alternatives="None (no pictures)"
    )
