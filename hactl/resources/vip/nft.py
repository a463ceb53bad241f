"""The packet filter's part in a move of a VIP (see `handover`): one table of nftables for each VIP, in the family
`netdev`, where frames are seen as they come from the wire.

A connection belongs to this node if this node has seen its first segment (SYN) since the rules are there: they are
put up before the address is. The kernel's connection tracking is not asked for: it may be off, and it takes a
connection up in its middle (`nf_conntrack_tcp_loose`); nor are sockets, which the `socket` expression does not tell
from HAProxy's listener on the VIP.

The rules lapse by themselves: they apply to the interfaces in a set, and the kernel takes the VIP's out of it after
a time. A killed daemon leaves behind a table that does nothing, until the next start removes it.
"""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address
from weakref import WeakKeyDictionary

from hactl.linux.rtnl import Link
from hactl.linux.run import run
from hactl.resources.base import ResourceError

# How long a script may take, and each further one that goes with it.
_TIMEOUT_S, _EACH_S = 1.0, 0.02
# How many new connections are remembered while an overlap lasts; about 100 bytes each.
_CONNECTIONS = 262144


class Rules:
    """Of one VIP on this node. New rules replace, in one step, the ones that were there."""

    def __init__(self, ip: IPv4Address | IPv6Address) -> None:
        self._ip = ip
        self._table = f"netdev hactl_vip_{ip.packed.hex()}"
        self._family, self._type = ("ip", "ipv4_addr") if ip.version == 4 else ("ip6", "ipv6_addr")

    async def forward(self, link: Link, mac: bytes, seconds: float) -> None:
        """Send on to the host `mac` all segments to the VIP whose connection did not begin here, for so long.
        Raises ResourceError."""
        connection = f"{self._family} saddr . tcp sport . tcp dport"
        here = (
            f"set here {{ type {self._type} . inet_service . inet_service; flags dynamic,timeout; "
            f"timeout {_whole(seconds)}s; size {_CONNECTIONS}; }}"
        )
        await self._replace(
            link,
            seconds,
            here,
            # Segments from the old node are never sent back there.
            f"{self._family} daddr {self._ip} meta l4proto tcp meta pkttype host "
            f"ether saddr != {mac.hex(':')} goto sift",
            f"""
            chain sift {{
                tcp flags & (syn|ack|rst) == syn update @here {{ {connection} }} accept
                {connection} @here accept
                ether daddr set {mac.hex(":")} ether saddr set {link.mac.hex(":")} fwd to "{link.name}"
            }}""",
        )

    async def silence(self, link: Link, seconds: float) -> None:
        """Answer nobody who asks for the VIP's MAC address, for so long. Raises ResourceError."""
        # nftables 1.0.6 has no name for the address asked for by a solicitation, at byte 8 of ICMPv6.
        question = (
            f"arp operation request arp daddr ip {self._ip}"
            if self._ip.version == 4
            else f"icmpv6 type nd-neighbor-solicit @th,64,128 {int(self._ip):#x}"
        )
        await self._replace(link, seconds, "", f"{question} drop", "")

    async def remove(self) -> None:
        """No error when there are none. Raises ResourceError."""
        await _Scripts.shared().run(self._without())

    def _without(self) -> str:
        # Only a table that is there can be deleted.
        return f"table {self._table} {{}}\ndelete table {self._table}\n"

    async def _replace(self, link: Link, seconds: float, sets: str, rule: str, chains: str) -> None:
        await _Scripts.shared().run(
            f"""{self._without()}
            table {self._table} {{
                set open {{ type ifname; flags timeout; elements = {{ "{link.name}" timeout {_whole(seconds)}s }} }}
                {sets}
                {chains}
                chain ingress {{
                    type filter hook ingress device "{link.name}" priority -500; policy accept;
                    iifname @open {rule}
                }}
            }}
            """
        )


def _whole(seconds: float) -> int:
    return int(seconds) + 1


class _Scripts:
    """Of all VIPs: one process at a time. Scripts that come while it runs go together in the next, since a process, and
    the kernel's change of its rules, cost far more than a script of ours."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Scripts] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def shared(cls) -> _Scripts:
        """The running event loop's."""
        return cls._of_loop.setdefault(asyncio.get_running_loop(), cls())

    async def run(self, script: str) -> None:
        """In the order in which they come. Raises ResourceError."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((script, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="nft")
        await done

    async def _work(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            batch = [(script, done) for script, done in waiting if not done.done()]  # nobody waits for the others
            problem = await self._try("".join(script for script, _ in batch), len(batch)) if batch else None
            for script, done in batch:
                # All of a process is refused together: of several, each by itself.
                each = await self._try(script, 1) if problem is not None and len(batch) > 1 else problem
                if done.done():
                    continue
                if each is None:
                    done.set_result(None)
                else:
                    done.set_exception(each)

    async def _try(self, scripts: str, count: int) -> Exception | None:
        try:
            await _nft(scripts, _TIMEOUT_S + _EACH_S * (count - 1))
        except Exception as error:  # it is for those who wait for it
            return error
        return None


async def _nft(script: str, timeout_s: float) -> None:
    done = await run(["nft", "-f", "-"], timeout_s=timeout_s, input=script)
    if not done.ok:
        # The first line says what is wrong, the last one only points at it.
        problem = done.stderr.strip().split("\n")[0] if done.stderr.strip() else done.describe()
        raise ResourceError(f"nft: {problem}")
