"""Simulated devices for the demo, the tests and the benchmarks.

Each one runs from a shell (``python -m simulators --help``) and in the process of a
test. They are built on other protocol libraries than the integration uses.
"""
