"""The hooks of cluster.yaml's shape."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from hactl.config.fields import Argv, Duration, FilePath, Line, Name, Part, duration_ms, setting, wrong
from hactl.model import hooks as of

MOST = 16
_LONGEST_MS = duration_ms("5m")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?")


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise wrong(f"`{value}` is no URL for a webhook", "such as https://chat.example.com/hooks/ha")
    if parts.username or parts.password:
        raise wrong("has a user or password in it", "give the secret by `token_file`, or all of the URL by `url_file`")
    return value


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise wrong(f"`{value}` is no user's name", "such as `nobody`")
    return value


def _timeout(value: float) -> float:
    if value > _LONGEST_MS:
        raise wrong("is longer than 5 minutes", "a hook delivers one event after the other: give less")
    return value


class Webhook(Part):
    """Where the event is sent, by HTTP POST."""

    OF: ClassVar[Any] = of.Webhook

    url: Annotated[str, AfterValidator(_url)] | None = setting(
        "where to; `https` is checked against the system's authorities", None, examples=["https://chat.example.com/ha"]
    )
    url_file: FilePath | None = setting(
        "instead of `url`: a file on each node with the URL in one line, where the URL itself is secret; mode 0600",
        None,
    )
    ca: FilePath | None = setting("the authority's certificate, instead of the system's", None)
    token_file: FilePath | None = setting(
        "a file on each node with a token, which is sent as `Authorization: Bearer`; mode 0600", None
    )
    body: Literal["event", "text"] = setting(
        'what is sent: `event`: all of it as JSON; `text`: `{"text": "one line"}`, as chats take it', "event"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise wrong(f"has {'neither' if self.url is None else 'both'} of `url` and `url_file`", "give one of them")
        return self

    def values(self) -> dict[str, Any]:
        """Without what is not given."""
        return {name: value for name, value in super().values().items() if value is not None}


# For its defaults.
_HOOK = of.HookSpec("", ())


class Hook(Part):
    """A command or a webhook that gets events: [hooks](hooks.md)."""

    OF: ClassVar[Any] = of.HookSpec

    name: Name = setting("unique", examples=["tell-the-team"])
    on: list[Line] = setting(
        "the events that it gets: names of [events](events.md), with `*`, or `severity>=warning`",
        min_length=1,
        examples=[["failover", "severity>=warning"]],
    )
    command: Argv | None = setting(
        "a command, as a list of words: the event is on its standard input as JSON, and in variables `HACTL_…`",
        None,
        examples=[["/usr/local/bin/notify"]],
    )
    webhook: Webhook | None = setting("instead of `command`: where the event is sent by HTTP", None)
    groups: list[Name] = setting("only events about these groups; empty: all events", [])
    user: Annotated[str, AfterValidator(_user)] = setting(
        "the user that runs the command, or that connects", _HOOK.user
    )
    timeout: Annotated[Duration, AfterValidator(_timeout)] = setting(
        "how long one try may take; then it is killed and has failed; at most 5 minutes", _HOOK.timeout_ms
    )
    retries: Annotated[int, Field(ge=0, le=20)] = setting(
        "how often a delivery that failed is tried again, after 1 s, 2 s, 4 s, … 60 s", _HOOK.retries
    )
    sender: Literal["one", "owner", "all"] = setting(
        "which node delivers: `one`: the node that noted the event; of events that every node notes, one node. "
        "`owner`: of a group's events only those that its owner noted. `all`: every node that noted it",
        _HOOK.sender,
    )

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.command is None) == (self.webhook is None):
            given = "neither" if self.command is None else "both"
            raise wrong(f"has {given} of `command` and `webhook`", "give one of them")
        return self

    def values(self) -> dict[str, Any]:
        """Without what is not given."""
        return {name: value for name, value in super().values().items() if value is not None}
