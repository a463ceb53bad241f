"""The health checks of this node."""
