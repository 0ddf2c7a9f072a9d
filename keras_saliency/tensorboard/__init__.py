"""Writes reports to TensorBoard: the stock tabs and the SALIENCY tab."""
