"""Tests of the bus gateway."""
