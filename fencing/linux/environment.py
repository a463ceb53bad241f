"""The environment of children: none of what the service manager gave to this process alone."""

from __future__ import annotations

import os

# A child that had NOTIFY_SOCKET could speak for the daemon; one that had STATE_DIRECTORY would write to the daemon's.
# Source: systemd.exec(5), *Environment Variables Set or Propagated by the Service Manager*.
_OF_THE_SERVICE = (
    "NOTIFY_", "WATCHDOG_", "LISTEN_", "INVOCATION_ID", "JOURNAL_STREAM", "MAINPID", "MANAGERPID", "SYSTEMD_EXEC_PID",
    "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY", "CONFIGURATION_DIRECTORY",
    "CREDENTIALS_DIRECTORY", "MEMORY_PRESSURE_", "FDSTORE", "GRPC_VERBOSITY",
)  # fmt: skip


def of_children(*without: str) -> dict[str, str]:
    """This process's own, without variables that begin so."""
    return {name: value for name, value in os.environ.items() if not name.startswith((*_OF_THE_SERVICE, *without))}
