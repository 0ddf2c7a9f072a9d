"""The SALIENCY tab: `loader` announces it, `plugin` serves it, `log` reads for it."""
