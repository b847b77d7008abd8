"""Hoymiles DTUs and the microinverters behind them. Nothing here knows Home Assistant."""
