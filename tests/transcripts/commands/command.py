"""The form of a command, and the function that carries it out."""

from __future__ import annotations

import re
from collections.abc import Callable

Action = Callable[..., None]
COMMANDS: list[tuple[re.Pattern[str], Action]] = []


def command(pattern: str) -> Callable[[Action], Action]:
    """The function carries out commands of this form; its parameters are the pattern's names."""

    def register(action: Action) -> Action:
        COMMANDS.append((re.compile(pattern), action))
        return action

    return register
