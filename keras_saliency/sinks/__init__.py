"""Sinks: where reports go. They write and never see the model."""
