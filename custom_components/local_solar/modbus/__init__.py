"""Registers as data: rows, images of them, and reading them with few requests.

Nothing in this package knows a maker or Home Assistant.
"""
