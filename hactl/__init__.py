"""hactl: high availability for control-plane services."""

__version__ = "0.1.0"
