"""The id that etcd gives to a new cluster (its source: server/etcdserver/api/membership). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def cluster_id(peer_urls: Iterable[str], token: str) -> int:
    """Of a cluster that begins with these members, one URL each, and this token: the sum of its members' ids, in their
    order; a member's is the sum of its URL and the token."""
    members = sorted(_id(f"{url}{token}".encode()) for url in peer_urls)
    return int.from_bytes(_id(b"".join(members)))


def _id(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).digest()[:8]
