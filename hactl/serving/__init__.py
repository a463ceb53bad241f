"""Serving within bounds: all listeners of hactl accept their connections through this package."""
