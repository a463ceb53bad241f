"""What tells one machine from another, as a session carries it: digests of a secret that the machine made at its first
start, of its mainboard's UUID and of its network card's address. Pure.

Each alone can be deceived: a copy of the disk has the secret, machines in one container host the UUID. What a machine
does not have, or a version does not know, says nothing and is not compared. Of what a machine has several, such as the
cards of a bond, one that is the same is enough: another may be broken, or not there yet.
"""

from __future__ import annotations

# In this order; a later version adds at the end.
PARTS = ("secret in state_dir", "mainboard (DMI product UUID)", "network card (MAC address)")

UNKNOWN = "-"
# Between the digests of a part of which there are several.
BESIDE = "+"


def identity(digests: tuple[str, ...]) -> str:
    """The text for these digests, "" where the machine has no such thing."""
    return ".".join(digest or UNKNOWN for digest in digests)


def differences(mine: str, other: str) -> list[str]:
    """In which parts that both know two machines differ; empty: they may be the same."""
    pairs = zip(PARTS, mine.split("."), other.split("."), strict=False)
    return [part for part, one, two in pairs if one and two and UNKNOWN not in (one, two) and _disjoint(one, two)]


def _disjoint(one: str, two: str) -> bool:
    return not set(one.split(BESIDE)) & set(two.split(BESIDE))
