"""The log of the SALIENCY tab: its tags, its format, a writer and a reader."""
