"""Kind `promote`: the promoted role of one of the instances of a resource that runs on every node."""

from hactl.resources.promote.resource import Promote

__all__ = ["Promote"]
