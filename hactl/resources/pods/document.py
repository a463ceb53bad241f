"""A static pod's manifest: one YAML document, a Pod with a name. Pure.

The kubelet reads one pod of a file: of several documents it takes the first, and says nothing of the others. Two files
with a pod of the same name in its directory are one pod to it, whichever it reads last.
"""

from __future__ import annotations

import io
import re
from functools import lru_cache
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

_LARGEST = 1 << 20
_DEEPEST = 100
# A pod's name is part of the name of its host: RFC 1123.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class Pod(NamedTuple):
    """By these two the kubelet tells pods apart."""

    name: str
    namespace: str


class NoPodError(Exception):
    """It is no manifest of a pod. The text says why, and how to fix it."""


@lru_cache(maxsize=64)
def pod_of(content: bytes) -> Pod:
    """The pod of a manifest. Raises NoPodError."""
    documents = [document for document in _documents(content) if document is not None]
    if not documents:
        raise NoPodError("is empty: put a Pod into it")
    if len(documents) > 1:
        raise NoPodError(
            f"has {len(documents)} documents, and the kubelet takes the first: give each pod a file of its own"
        )
    (document,) = documents
    if not isinstance(document, dict) or document.get("kind") != "Pod":
        kind = document.get("kind") if isinstance(document, dict) else None
        raise NoPodError(f"is of kind {kind or 'none'}: a static pod is of `kind: Pod`")
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise NoPodError("has no `metadata.name` of lower-case letters, digits, `-` and `.`: name the pod")
    assert isinstance(metadata, dict)
    return Pod(name, str(metadata.get("namespace") or "default"))


def _documents(content: bytes) -> list[Any]:
    if len(content) > _LARGEST:
        raise NoPodError(f"has {len(content)} bytes: no pod needs so many")
    if (depth := _depth(content)) > _DEEPEST:
        raise NoPodError(f"has {depth} brackets in one another: no pod has")
    try:
        return list(YAML(typ="safe", pure=True).load_all(io.StringIO(content.decode())))
    except MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise NoPodError(f"is no YAML: {place}{error.problem or error.context}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise NoPodError(f"is no YAML: {str(error).splitlines()[0] if str(error) else 'nested too deeply'}") from None


def _depth(content: bytes) -> int:
    """How deep brackets are nested, counted roughly: the parser takes very long for many."""
    depth = deepest = 0
    for byte in content:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth = max(0, depth - 1)
    return deepest
