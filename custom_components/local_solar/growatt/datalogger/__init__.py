"""Growatt dataloggers: sticks and boxes that report to a server, here to us."""
