"""`Pictures`: how saliency maps are drawn for TensorBoard."""

from __future__ import annotations

from dataclasses import dataclass

from keras_saliency.data.checks import check_choice, check_positive_int, check_settings
from keras_saliency.rendering.clipping import check_percentile
from keras_saliency.rendering.heatmaps import CLIP_PERCENTILE, SCALES, check_colormap


@dataclass(frozen=True)
class Pictures:
    """Settings for pictures of saliency maps.

    Args:
        scale: The value at the end of the colormap. `"epoch"`: the 99th percentile of the map.
            `"probe"`: the largest 99th percentile of the probe's maps in the run so far.
            `"shared"`: the largest of all probes in the run so far.
        colormap: The name of a matplotlib colormap.
        map_size: The longer side of the maps in the SALIENCY tab, in pixels. Larger maps are
            averaged over blocks. `None`: the tab gets no data.
        clip_percentile: The percentile for the end of the colormap, of the values other than 0; 100
            for the maximum. Larger values have the colour of the end: scaled by its maximum, a map
            with one hot pixel would be black. It applies to images and volumes (maps of other
            inputs always end at their maximum). Captions have the maximum and the end.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a wrong value.

    Example:
        >>> Pictures(colormap="inferno")
        Pictures(scale='epoch', colormap='inferno', map_size=112, clip_percentile=99)
    """

    scale: str = "epoch"
    colormap: str = "hot"
    map_size: int | None = 112
    clip_percentile: float = CLIP_PERCENTILE

    def __post_init__(self) -> None:
        check_choice("scale", self.scale, SCALES)
        check_colormap(self.colormap)
        object.__setattr__(self, "clip_percentile", check_percentile(self.clip_percentile))
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
