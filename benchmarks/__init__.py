"""Benchmarks: what the README claims, measured (``scripts/bench NAME``)."""
