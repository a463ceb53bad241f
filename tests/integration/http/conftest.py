"""As the daemon's tests."""

from tests.unit.daemon.conftest import scene

__all__ = ["scene"]
