"""Tests of the protocol of dataloggers."""
