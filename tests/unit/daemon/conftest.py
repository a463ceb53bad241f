"""What most tests of the daemon's API and operations begin with."""

from __future__ import annotations

import pytest

from tests.support.scene import Scene


@pytest.fixture
def scene() -> Scene:
    """vip and database on n1; n2 and n3 live."""
    scene = Scene()
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n1")
    scene.own("database", "n1")
    return scene
