"""Attacks, sorted by what they change."""
