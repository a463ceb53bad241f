"""The one HAProxy of this node: hot, as on every node, or where a group has it, started and stopped with that."""

from __future__ import annotations

from hactl.haproxy.control.files import ApplyResult
from hactl.haproxy.control.in_group import InGroupManager
from hactl.haproxy.control.manager import HaproxyManager
from hactl.haproxy.settings import HaproxyError


class LocalHaproxy:
    """Sees to it that there are never two: both would have the same files and sockets. `grouped`: a group has it."""

    def __init__(self, hot: HaproxyManager, in_group: InGroupManager) -> None:
        self._hot, self._in_group = hot, in_group
        self.grouped = False

    @property
    def manager(self) -> HaproxyManager:
        """The one to be driven, and asked."""
        return self._in_group if self.grouped or self._in_group.active else self._hot

    async def begin(self) -> str:
        """Before anything is known of the cluster: adopt the hot one, or start it as it ran last. Why it does not run;
        "" where there is nothing to run with. Raises HaproxyError."""
        return "" if await self._hot.resume() else self._hot.status().error

    async def apply(self, text: str, *, manage_sysctl: bool) -> ApplyResult:
        """Have the HAProxy that runs, or the one for every node, run with this configuration."""
        if self.grouped:
            try:
                await self._hot.retire()
            except HaproxyError as error:
                return ApplyResult(False, "none", 0.0, str(error))
            return await self._in_group.ensure(text)
        if self._in_group.active:
            # The HAProxy of a group that has lost it is stopped first, with the configuration that it was started with.
            return ApplyResult(False, "none", 0.0)
        return await self._hot.ensure(text, manage_sysctl=manage_sysctl)

    async def keep(self, text: str, *, manage_sysctl: bool) -> None:
        """Keep `text` for the start after a reboot, of the one that runs on every node. Raises HaproxyError."""
        if not self.grouped and self._hot.status().running:
            await self._hot.keep(text, manage_sysctl=manage_sysctl)

    async def start_in_group(self, text: str) -> None:
        """Its group is started here. Raises HaproxyError."""
        if not self.grouped:
            raise HaproxyError("the configuration in use gives HAProxy to no group")
        await self._hot.retire()
        await self._in_group.start(text)

    async def close(self) -> None:
        """Leave it running."""
        await self._hot.close()
