"""Kind `vip`: an address that moves from node to node."""

from hactl.resources.vip.resource import Vip

__all__ = ["Vip"]
