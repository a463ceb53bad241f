"""Only when asked for, `make test-ocf`: it installs servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiers import below


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    below(Path(__file__).parent, items, "ocf", 900, unless=config.option.markexpr)
