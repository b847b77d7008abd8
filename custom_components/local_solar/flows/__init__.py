"""Steps of the config flow: one module per family, on common pieces."""
