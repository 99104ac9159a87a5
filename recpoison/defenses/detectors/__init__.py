"""Detectors of fake users: one paper, one file."""
