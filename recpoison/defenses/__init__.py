"""Defenses: ways of fitting a model that expect an attack."""
