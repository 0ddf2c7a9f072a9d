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
            `"shared"`: the largest of all probes in the run so far; always so if maps have one
            value, which is the largest of its map.
        colormap: The name of a matplotlib colormap.
        map_size: The longer side of the maps in the SALIENCY tab, in pixels. Larger maps are
            averaged over blocks. `None`: the tab gets no data.
        clip_percentile: The percentile for the end of the colormap, of the values other than 0; 100
            for the maximum. Larger values have the colour of the end: scaled by its maximum, a map
            with one hot pixel would be black. It applies to images and volumes (maps of other
            inputs always end at their maximum). Captions have the maximum and the end.
        when: When pictures for TensorBoard's own tabs are drawn. `"auto"`: at evaluations 0, 1, 2,
            4, 8, 16, ... of a run, and at the last one of a training. `"epoch"`: at every
            evaluation. The evidence of alerts is always drawn, and the SALIENCY tab always has all
            maps.
        probes: The number of probes that have a picture of their own, evenly chosen; at most 64.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a wrong value.

    Example:
        >>> every_epoch = Pictures(colormap="inferno", when="epoch")
        >>> every_epoch.probes
        8
    """

    scale: str = "epoch"
    colormap: str = "hot"
    map_size: int | None = 112
    clip_percentile: float = CLIP_PERCENTILE
    when: str = "auto"
    probes: int = 8

    def __post_init__(self) -> None:
        check_choice("scale", self.scale, SCALES)
        check_colormap(self.colormap)
        object.__setattr__(self, "clip_percentile", check_percentile(self.clip_percentile))
        check_choice("when", self.when, ("auto", "epoch"))
        probes = check_positive_int(
            "probes", self.probes, hint="Pass the number of probes with a picture of their own."
        )
        object.__setattr__(self, "probes", probes)
        if self.map_size is not None:
            map_size = check_positive_int(
                "map_size",
                self.map_size,
                hint="Pass a number of pixels, or None to write no data for the SALIENCY tab.",
            )
            object.__setattr__(self, "map_size", map_size)

    def are_drawn(self, count: int) -> bool:
        """Whether an evaluation has pictures, unless it is the last one.

        Args:
            count: How many evaluations there were before it.

        Example:
            >>> [count for count in range(20) if Pictures().are_drawn(count)]
            [0, 1, 2, 4, 8, 16]
        """
        return self.when == "epoch" or count & (count - 1) == 0


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
