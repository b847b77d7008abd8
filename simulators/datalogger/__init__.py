"""Simulated Growatt dataloggers (ShineWiFi, ShineLAN), and the server that they report to."""
