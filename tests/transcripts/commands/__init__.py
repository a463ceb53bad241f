"""What the commands of a transcript do, by area. Operators' actions are the product's own (hactl.admin)."""

from tests.transcripts.commands import cluster, network, operator, power, resources
from tests.transcripts.commands.command import COMMANDS

__all__ = ["COMMANDS", "cluster", "network", "operator", "power", "resources"]
