"""What a fitted model does, measured."""
