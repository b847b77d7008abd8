"""OutBack MATE3 and MATE3s: one gateway, and every device on its HUB."""
