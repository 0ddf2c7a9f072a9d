"""Rendering: pictures of saliency maps, as arrays. Writes no files."""
