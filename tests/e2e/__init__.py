"""A real Home Assistant, driven from outside as its owner drives it."""
