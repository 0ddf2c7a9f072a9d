"""The entry point that TensorBoard imports when it starts.

An error here would end TensorBoard. So everything that may fail is imported late, and an error only
removes the SALIENCY tab and logs a warning.
"""

from __future__ import annotations

import logging
from typing import Any

from tensorboard.plugins import base_plugin

_LOGGER = logging.getLogger("tensorboard")

ALL_STEPS = 0
"""Both of TensorBoard's loaders then keep every step of a plugin's data."""

IMAGES = 1000
"""The number of steps to keep of the Images tab, which shows nothing if all are to be kept."""


class SaliencyLoader(base_plugin.TBLoader):
    """Adds the SALIENCY tab to TensorBoard, which finds this class as an entry point."""

    def fix_flags(self, flags: Any) -> None:
        """Keeps all steps of maps and pictures; TensorBoard would keep a random ten.

        Numbers that the user passed in `--samples_per_plugin` are kept.

        Args:
            flags: TensorBoard's parsed command line; it is changed in place.
        """
        try:
            from keras_saliency.log.tags import PLUGIN

            flags.samples_per_plugin.setdefault(PLUGIN, ALL_STEPS)
            flags.samples_per_plugin.setdefault("images", IMAGES)
        except Exception:
            _LOGGER.warning("keras_saliency: TensorBoard will not show every step.", exc_info=True)

    def load(self, context: Any) -> base_plugin.TBPlugin | None:
        """The plugin, or None if it cannot be loaded.

        Args:
            context: TensorBoard's `TBContext`.
        """
        try:
            from keras_saliency.plugin.plugin import SaliencyPlugin

            return SaliencyPlugin(context)
        except Exception:
            _LOGGER.warning("keras_saliency: the SALIENCY tab could not be loaded.", exc_info=True)
            return None
