"""Probes, reports and their checks: frozen records of arrays. Imports NumPy only."""
