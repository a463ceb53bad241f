"""The lab's etcd, read and meddled with from outside, by etcd's JSON gateway of whichever member answers."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

from election.keys import Keys
from election.records import Ownership, RecordError
from election.store import KeyValue, Snapshot
from election.view import View
from hactl.lab import etcd
from hactl.lab.cluster import Lab

_KINDS = (
    *("identity", "config", "nodes/", "fence/", "groups/", "members/", "reports/", "failures/", "flapping/"),
    "intents/",
)


class NoStoreError(Exception):
    """No member answers."""


class Gateway:
    """Requests go to the member that answered last, then to the others."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._order = [station.name for station in lab.spec.stations]
        self.keys = Keys.of(lab.spec.name)

    def view(self) -> View:
        """Everything but the histories, read in one transaction. Raises NoStoreError."""
        answer = self._ask("txn", {"success": [{"requestRange": _range(self.keys.prefix + kind)} for kind in _KINDS]})
        kvs = [kv for part in answer["responses"] for kv in part["response_range"].get("kvs", [])]
        view = View(self.keys)
        view.load(Snapshot(int(answer["header"]["revision"]), tuple(_key_value(kv) for kv in kvs)))
        return view

    def get(self, key: str, revision: int = 0) -> KeyValue | None:
        """The value of `key`, now or at `revision`."""
        body = {"key": _encode(key)} | ({"revision": str(revision)} if revision else {})
        kvs = self._ask("range", body).get("kvs", [])
        return _key_value(kvs[0]) if kvs else None

    def put(self, key: str, value: str) -> None:
        """Write it."""
        self._ask("put", {"key": _encode(key), "value": _encode(value)})

    def delete(self, key: str) -> None:
        """Delete a key; with a slash at its end, everything below it."""
        self._ask("deleterange", _range(key))

    def delete_one(self, key: str) -> None:
        """Delete just this key, also one with a slash at its end."""
        self._ask("deleterange", {"key": _encode(key)})

    def revision(self) -> int:
        """The store's revision now."""
        return int(self._ask("range", {"key": _encode(self.keys.identity)})["header"]["revision"])

    def renewals(self) -> dict[str, int]:
        """How often each live session was written since it was opened."""
        kvs = self._ask("range", _range(self.keys.prefix + "nodes/")).get("kvs", [])
        return {_decode(kv["key"]).rpartition("/")[2]: int(kv["version"]) for kv in kvs}

    def history(self, group: str, since: int) -> list[Ownership]:
        """Every ownership of a group from revision `since` on that the store still knows, oldest first (from the last
        deletion of its key on), without those that cannot be read."""
        owners: list[Ownership] = []
        revision = 0
        while kv := self.get(self.keys.group(group), revision):
            with contextlib.suppress(RecordError):
                owners.append(Ownership.from_json(kv.value, kv.key))
            revision = kv.mod_revision - 1
            if revision < since or kv.create_revision > revision:
                break
        return owners[::-1]

    def _ask(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        for name in list(self._order):
            if not self._lab.node(name).powered:
                continue
            answer = etcd.call(self._lab.spec, name, f"/v3/kv/{method}", body, timeout_s=0.5)
            if answer is not None:
                self._order.remove(name)
                self._order.insert(0, name)
                return answer
        raise NoStoreError


def _range(key: str) -> dict[str, str]:
    if not key.endswith("/"):
        return {"key": _encode(key)}
    return {"key": _encode(key), "range_end": _encode(key[:-1] + chr(ord("/") + 1))}


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    return base64.b64decode(text).decode()


def _key_value(kv: dict[str, str]) -> KeyValue:
    return KeyValue(
        _decode(kv["key"]), _decode(kv.get("value", "")), int(kv["create_revision"]), int(kv["mod_revision"])
    )
