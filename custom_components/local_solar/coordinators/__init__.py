"""Coordinators: one module per kind of entry, on a common base."""
