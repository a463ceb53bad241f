"""The configuration as it is in the store: an envelope around the document. Light: no schema needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from election.records import Count, Record, too_deep

# Raised when a document may hold settings that an earlier version must not ignore. A reader refuses a higher one and
# goes on with the configuration it has; within one format it ignores keys it does not know (document.py).
FORMAT = 1


@dataclass(frozen=True, slots=True)
class StoredConfig(Record):
    """The value of `config` and of its history.

    `serial` counts the configurations of this cluster. `document` is cluster.yaml with every default written
    out, so that it means the same to every version. `at` is wall time, for people only. `signature`: see signature.py;
    empty where the cluster has no key.
    """

    limit = 1 << 20

    serial: Count
    document: dict[str, Any]
    by: str = ""
    at: str = ""
    format: Count = FORMAT
    signature: str = ""

    def problem(self) -> str:
        """The free parts are bounded, too."""
        return "is nested too deeply" if too_deep(self.document) else ""
