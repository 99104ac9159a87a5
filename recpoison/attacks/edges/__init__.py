"""Attacks that turn zeros between users and items into edges."""
