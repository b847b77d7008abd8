"""An OutBack MATE3 or MATE3s, and the devices on its HUB."""
