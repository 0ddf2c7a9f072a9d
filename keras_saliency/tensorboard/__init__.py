"""Writes reports to TensorBoard: its own tabs and the SALIENCY tab."""
