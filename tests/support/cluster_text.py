"""A cluster.yaml and its problems."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hactl.config.errors import ConfigErrors, Problem
from hactl.config.load import parse_cluster


def problems(text: str) -> Sequence[Problem]:
    """All that is wrong; a text without a problem is a failure."""
    with pytest.raises(ConfigErrors) as caught:
        parse_cluster(text)
    return caught.value.problems


def edited(text: str, *changes: tuple[str, str]) -> str:
    """`text` with each `(old, new)` replaced, where `old` must stand exactly once."""
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text
