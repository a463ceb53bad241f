"""Where the commands' answers come from: this node's daemon, else etcd itself. Light; `etcd_backend.py` is not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote, urlencode

from hactl.cli import client
from hactl.cli.client import HarmError, NoDaemonError, NotAllowedError
from hactl.cli.common import CliError, confirmed, interactive, tell
from hactl.config.node import NodeConfig

if TYPE_CHECKING:
    from hactl.admin.requests import A, Request
    from hactl.cli.etcd_backend import EtcdBackend

READ_S = 3.0
WRITE_S = 8.0

T = TypeVar("T")


class Backend:
    """Asks the daemon; from the first time that none answers on, etcd, and says so once.

    `seen`: the `mark` of the last answer; the next comes when there is another, or after `wait_s`.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._direct: EtcdBackend | None = None

    def status(self, seen: str = "", wait_s: float = 0.0) -> dict[str, Any]:
        """The status document."""
        return self._get("status", "/v1/status", wait_s, seen=seen, wait=wait_s)

    def group(self, name: str, seen: str = "", wait_s: float = 0.0) -> dict[str, Any]:
        """One group: `group`, `move`, `revision`."""
        return self._get("group", f"/v1/groups/{quote(name)}", wait_s, name=name, seen=seen, wait=wait_s)

    def explain(self, group: str) -> dict[str, Any]:
        """Why a group is where it is (`hactl.status.explain`)."""
        return self._get("explain", "/v1/explain", 0.0, group=group)

    def draining(self, service: str, node: str) -> dict[str, Any]:
        """The progress of a drain: `drain`, `sessions`, `waiting`."""
        return self._get("draining", "/v1/service/draining", 0.0, service=service, node=node)

    def events(self, limit: int) -> dict[str, Any]:
        """`events`: the newest, oldest first."""
        return self._get("events", "/v1/events", 0.0, n=limit)

    def timeline(self, group: str, limit: int) -> dict[str, Any]:
        """`timelines`: the newest takeovers, oldest first."""
        return self._get("timeline", "/v1/timeline", 0.0, group=group, n=limit)

    def hooks(self) -> dict[str, Any]:
        """`node`, and `hooks` as they are on it. Only its daemon knows that."""
        return self._of_daemon(lambda: self._reading(lambda at: client.get(at, "/v1/hooks", READ_S)))

    def test_hook(self, name: str, within_s: float) -> dict[str, Any]:
        """Have this node's daemon deliver a test event: `ok`, `detail`, `ms`."""
        return self._of_daemon(
            lambda: client.post(self._config.api_socket, "/v1/hook/test", {"hook": name}, within_s + WRITE_S)
        )

    def follow(self, limit: int) -> Iterator[dict[str, Any]]:
        """The newest events, then those that come, until the store or the daemon goes away."""
        if self._direct is None:
            try:
                yield from self._stream(f"/v1/events?follow=1&n={limit}")
                return
            except NoDaemonError as error:
                self._turn_to_etcd(error)
        yield from self.direct.follow(limit)

    def do(self, request: Request[A]) -> A:
        """Have an operator's action carried out."""
        import msgspec  # noqa: PLC0415 - `hactl status` does without

        if self._direct is None:
            try:
                body = msgspec.to_builtins(request)
                raw = client.post(self._config.api_socket, f"/v1/{request.path}", body, WRITE_S)
                return msgspec.convert(raw, cast("type[A]", request.answer))
            except NotAllowedError:
                raise CliError(f"you may not change anything here: {_be(self._config.operate_group)}") from None
            except NoDaemonError as error:
                self._turn_to_etcd(error)
        return self.direct.do(request)

    def do_asking(self, make: Callable[[bool], Request[A]], *, yes: bool) -> tuple[A, bool]:
        """Have an action carried out; where it would hurt what runs, after a yes to that. `make`: the request, with
        `force` or without. Returns the answer, and whether there was a yes. Raises CliError, with the words, where
        nobody can be asked."""
        try:
            return self.do(make(yes)), yes
        except HarmError as error:
            if not interactive():
                raise CliError(f"{error}. Nothing was done; `--yes` does it all the same") from None
            if not confirmed(f"{error}.\nDo it all the same?"):
                raise CliError("not confirmed: nothing was done") from None
        return self.do(make(True)), True

    @property
    def direct(self) -> EtcdBackend:
        """Etcd itself."""
        if self._direct is None:
            from hactl.cli.etcd_backend import EtcdBackend  # noqa: PLC0415 - half a second

            self._direct = EtcdBackend(self._config)
        return self._direct

    def close(self) -> None:
        """Let go of etcd, where it was asked."""
        if self._direct is not None:
            self._direct.close()

    def _get(self, question: str, path: str, wait_s: float, **query: Any) -> dict[str, Any]:
        if self._direct is None:
            given = {name: value for name, value in query.items() if name != "name"}
            try:
                return self._reading(lambda at: client.get(at, f"{path}?{urlencode(given)}", READ_S + wait_s))
            except NoDaemonError as error:
                self._turn_to_etcd(error)
        return self.direct.read(question, **query)

    def _of_daemon(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except NotAllowedError:
            raise CliError(f"you may not do that here: {_be(self._config.operate_group)}") from None
        except NoDaemonError as error:
            raise CliError(
                f"no daemon answers here ({error}), and hooks are its work: `systemctl status hactl`"
            ) from None

    def _reading(self, ask: Callable[[str], T]) -> T:
        """Ask a question, by the socket for them where the other one is not for this user."""
        for path in (self._config.api_socket, self._config.read_socket):
            with contextlib.suppress(NotAllowedError):
                return ask(path)
        raise self._not_allowed()

    def _stream(self, target: str) -> Iterator[dict[str, Any]]:
        for path in (self._config.api_socket, self._config.read_socket):
            with contextlib.suppress(NotAllowedError):
                yield from client.stream(path, target)
                return
        raise self._not_allowed()

    def _not_allowed(self) -> CliError:
        return CliError(f"you may not use hactl here: {_be(self._config.operate_group, self._config.read_group)}")

    def _turn_to_etcd(self, error: NoDaemonError) -> None:
        tell(f"no daemon answers here ({error}): asking etcd")
        _ = self.direct


def _be(*groups: str) -> str:
    named = " or ".join(f"`{group}`" for group in groups if group)
    return f"be root, or a member of the group {named} (node.toml: operate_group, read_group)" if named else "be root"
