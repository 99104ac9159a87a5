"""The epoch loop, its objectives and its sampling."""
