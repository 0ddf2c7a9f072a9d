"""Runs a live Keras model and returns arrays. The model is left unchanged."""
