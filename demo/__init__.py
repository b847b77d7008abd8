"""A real Home Assistant with simulated solar hardware, for looking and for testing.

``python -m demo`` runs on the environment that ``scripts/setup hass`` makes;
``scripts/demo`` does both. The end-to-end tests use the same modules.
"""
