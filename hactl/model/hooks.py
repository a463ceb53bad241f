"""Hooks: commands and webhooks that get events. Pure. `cluster.yaml` has the settings under the same names."""

from __future__ import annotations

from typing import Literal

from hactl.model.options import Sparse

Sender = Literal["one", "owner", "all"]
# What a webhook gets: the event, or one line of text as chats take it.
Body = Literal["event", "text"]

# An unprivileged user that every Linux has.
NOBODY = "nobody"


class Webhook(Sparse, frozen=True):
    """Where events are sent by HTTP POST. `url_file`, `token_file`: files on each node, for what is secret."""

    url: str = ""
    url_file: str = ""
    ca: str = ""
    token_file: str = ""
    body: Body = "event"


class HookSpec(Sparse, frozen=True):
    """A hook. `on`: names of events, with `*`, or `severity>=LEVEL`. `groups`: only events of these; empty: all
    events. `retries`: after a first try that failed."""

    name: str
    on: tuple[str, ...]
    command: tuple[str, ...] = ()
    webhook: Webhook | None = None
    groups: tuple[str, ...] = ()
    user: str = NOBODY
    timeout_ms: float = 10_000.0
    retries: int = 5
    sender: Sender = "one"

    @property
    def target(self) -> str:
        """Where it goes, for people; a URL may hold a secret, so its host alone."""
        if self.webhook is None:
            return self.command[0]
        if self.webhook.url_file:
            return f"the URL in {self.webhook.url_file}"
        scheme, _, rest = self.webhook.url.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}"
