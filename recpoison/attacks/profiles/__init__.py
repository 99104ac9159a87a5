"""Attacks that add fake users."""
