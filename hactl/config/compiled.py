"""A cluster's configuration as plain JSON of the model, already checked: `python -m hactl.config.compiled` makes it
from the stored document on standard input.

The daemon runs this in a process of its own: pydantic and the code that needs it cost 10 MB for good, and 100 ms in
which the daemon could do nothing else.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from hactl.model.cluster import ClusterSpec
from hactl.model.options import plain

# Parts that came after 0.1.0: not written where there are none.
_LATER = ("hooks", "health")


def dump(spec: ClusterSpec) -> dict[str, Any]:
    """The JSON that `load` takes."""
    raw: dict[str, Any] = plain(spec)
    return {name: value for name, value in raw.items() if value or name not in _LATER}


def load(raw: dict[str, Any]) -> ClusterSpec:
    """The cluster that `dump` was given. Raises TypeError if it is none, or of another version."""
    try:
        return msgspec.convert(raw, ClusterSpec)
    except msgspec.ValidationError as error:
        raise TypeError(str(error)) from None


def main() -> None:
    """Entry point: writes `{"spec": …}`, or `{"problem": …}` for a document that is refused."""
    from hactl.config.document import read_stored  # noqa: PLC0415 - heavy
    from hactl.config.errors import ConfigErrors  # noqa: PLC0415

    try:
        answer: dict[str, Any] = {"spec": dump(read_stored(sys.stdin.read(), checked=False).spec)}
    except ConfigErrors as error:
        answer = {"problem": str(error)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
