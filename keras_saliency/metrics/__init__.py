"""From saliency maps to numbers. Imports NumPy and SciPy only."""
