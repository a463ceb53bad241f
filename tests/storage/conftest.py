"""Storage that this machine's kernel may not have, in a virtual machine: `make test-storage`. Only when asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiers import below


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    below(Path(__file__).parent, items, "storage", 900, unless=config.option.markexpr)
