"""Tests of sharing a bus."""
