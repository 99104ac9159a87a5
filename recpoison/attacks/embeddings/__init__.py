"""Attacks that shift the tables of a fitted model."""
