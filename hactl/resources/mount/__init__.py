"""Kind `mount`: a file system that is mounted where its group is."""

from hactl.resources.mount.resource import Mount

__all__ = ["Mount"]
