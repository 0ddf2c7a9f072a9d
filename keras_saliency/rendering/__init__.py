"""From saliency maps to pixels. Writes no file."""
