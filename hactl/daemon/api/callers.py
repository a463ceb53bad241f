"""The caller on a unix socket. The kernel names the user; only root is believed when it names another one."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.requests import Request

from hactl.admin.errors import NoSuchError
from hactl.model.text import LONGEST_NAME, called, text_problem
from hactl.serving.names import NAMES

# Sent along by the command line behind sudo.
SUDO_HEADER = "hactl-sudo-user"


async def name_of(request: Request) -> str:
    """Its name; `root (sudo anna)` where anna became root by sudo. Raises NoSuchError for a text that is no name."""
    uid = int(request.client.host) if request.client else -1
    sudo = unquote(request.headers.get(SUDO_HEADER, "")) if uid == 0 else ""
    if problem := text_problem(sudo, LONGEST_NAME):
        raise NoSuchError(f"the name of sudo's user {problem}")
    return called(await NAMES.user_name(uid), sudo)
