"""What the model relies on: interventions, tests, alerts. Imports NumPy and SciPy only."""
