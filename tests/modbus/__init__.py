"""Tests of registers as data and of reading them."""
