"""Metrics: numbers computed from saliency maps. Imports only NumPy and SciPy."""
