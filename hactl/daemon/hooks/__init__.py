"""Hooks: the events of this node, to commands and webhooks of the operator's."""
