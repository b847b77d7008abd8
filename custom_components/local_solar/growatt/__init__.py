"""Growatt inverters. Nothing here knows Home Assistant."""
