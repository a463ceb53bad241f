"""The configuration's signature: an HMAC by the cluster's key, so that write access to etcd is not enough to have
programs run.

Pure. The signature is of the whole envelope: cluster, serial, format, author, time and document, as canonical JSON. A
node with a key uses a signed configuration only, and within one generation of the store none that is older than the one
it used before. A node without a key cannot check anything, and says so.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import NamedTuple

from hactl.config.stored import StoredConfig

# Tells this use of the key from every other: guards sign their datagrams with it.
_PURPOSE = b"hactl configuration 1\0"

SIGN = "`hactl config sign` on a node with the key, or `hactl config apply FILE`"


class Accepted(NamedTuple):
    """The configuration that this node used last, as kept on disk. `digest`: SHA-256 of the stored text, in hex.
    `signed`: its signature was checked."""

    digest: str
    serial: int
    generation: int
    signed: bool


def digest(text: str) -> str:
    """SHA-256 of a stored configuration, in hex."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def sign(stored: StoredConfig, cluster: str, key: bytes | None) -> StoredConfig:
    """The same envelope, signed; without a key, unsigned."""
    return replace(stored, signature=_signature(stored, cluster, key) if key else "")


def signed_by(stored: StoredConfig, cluster: str, key: bytes) -> bool:
    """Whether this very envelope was signed with `key` for `cluster`."""
    return hmac.compare_digest(stored.signature.encode(), _signature(stored, cluster, key).encode())


def refusal(stored: StoredConfig, text: str, cluster: str, key: bytes, last: Accepted | None, generation: int) -> str:
    """Why a node with `key` may not use this configuration; empty: it may.

    `last`: the configuration that this node used before. An unsigned one is accepted only if it is that very one, and
    was not signed then either: the cluster is older than its key.
    """
    if not stored.signature:
        if last is not None and not last.signed and last.digest == digest(text):
            return ""
        return f"configuration {stored.serial} is not signed with the cluster's key: {SIGN}"
    if not signed_by(stored, cluster, key):
        return (
            f"configuration {stored.serial} was altered after it was signed, or signed with another key: see who may "
            f"write to etcd, compare cluster_key on all nodes, then `hactl config apply FILE`"
        )
    if last is not None and last.signed and last.generation == generation and stored.serial < last.serial:
        return (
            f"configuration {stored.serial} is older than {last.serial}, which this node used: somebody put it back "
            "into etcd; `hactl config apply FILE`, on this node, makes a newer one"
        )
    return ""


def without_key(stored: StoredConfig, text: str, key_file: str, last: Accepted | None) -> str:
    """Why a node that has no key (any more) may not use this configuration; empty: it may. A node that has checked a
    signature before does not accept a configuration that it cannot check: its key was lost, or is looked for in the
    wrong place."""
    if last is None or not last.signed or last.digest == digest(text):
        return ""
    return (
        f"configuration {stored.serial} cannot be checked: this node used signed ones, and there is no {key_file} now: "
        "put the cluster's key there, the same as on the other nodes"
    )


def _signature(stored: StoredConfig, cluster: str, key: bytes) -> str:
    signed = [cluster, stored.serial, stored.format, stored.by, stored.at, stored.document]
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new(key, _PURPOSE + text.encode("ascii"), hashlib.sha256).hexdigest()
