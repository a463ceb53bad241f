"""Serving within bounds: whatever accepts connections in hactl does it through this package."""
