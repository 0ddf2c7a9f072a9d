"""What TensorBoard imports at its start, in whatever environment that is.

Whatever this module raised would end TensorBoard, for all its tabs. So all that can fail is
imported late and behind a guard; what fails costs the SALIENCY tab and leaves a warning.
"""

from __future__ import annotations

import logging
from typing import Any

from tensorboard.plugins import base_plugin

_LOGGER = logging.getLogger("tensorboard")

ALL_STEPS = 0
"""What both of TensorBoard's loaders take for: keep every step of a plugin's data."""

IMAGES = 1000
"""Steps to keep of the stock pictures. Their tab shows none where it is to keep all."""


class SaliencyLoader(base_plugin.TBLoader):
    """Puts the SALIENCY tab into TensorBoard, which finds it as an entry point."""

    def fix_flags(self, flags: Any) -> None:
        """Keeps all steps of maps and pictures; TensorBoard would keep a random ten.

        A number that the user gave by `--samples_per_plugin` stays.

        Args:
            flags: TensorBoard's parsed command line, which is changed.
        """
        try:
            from keras_saliency.log.tags import PLUGIN

            flags.samples_per_plugin.setdefault(PLUGIN, ALL_STEPS)
            flags.samples_per_plugin.setdefault("images", IMAGES)
        except Exception:
            _LOGGER.warning("keras_saliency: not every step will be shown.", exc_info=True)

    def load(self, context: Any) -> base_plugin.TBPlugin | None:
        """The plugin, or None if it cannot be loaded.

        Args:
            context: TensorBoard's `TBContext`.
        """
        try:
            from keras_saliency.plugin.plugin import SaliencyPlugin

            return SaliencyPlugin(context)
        except Exception:
            _LOGGER.warning("keras_saliency: there will be no SALIENCY tab.", exc_info=True)
            return None
