"""Attacks on graphs of nodes: they flip edges."""
