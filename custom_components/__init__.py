"""Custom components of Home Assistant; Local Solar is one of them."""
