"""The marks of one machine, as a session carries them: digests of a secret that the machine made at its first start,
of its mainboard's UUID and of its network card's address. Pure.

Each alone can be deceived: a copy of the disk has the secret, machines in one container host the UUID. A part that a
machine does not have, or a version does not know, says nothing and is not compared. Where a machine has several of a
part, such as the cards of a bond, one that is the same is enough: another may be broken, or not there yet.
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
    """The parts, known to both machines, in which they differ; empty: they may be the same."""
    return [
        part
        for part, own, theirs in zip(PARTS, mine.split("."), other.split("."), strict=False)
        if own and theirs and UNKNOWN not in (own, theirs) and set(own.split(BESIDE)).isdisjoint(theirs.split(BESIDE))
    ]
