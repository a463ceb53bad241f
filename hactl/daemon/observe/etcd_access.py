"""This node's access to etcd: its weaknesses, and the ends of the certificates, here and at every member: a witness
has no daemon that looks at its own. Looked at now and then, on a thread, since it reads files and asks others."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog

from election.etcd.tls import CertificateEnd
from hactl.config.etcd_access import Weakness, certificate_ends, found_weak, tls_files
from hactl.config.node import NodeConfig

log = structlog.get_logger()

LOOK_S = 60.0
# At members, in every so many looks: each is a connection.
_SHOWN_EVERY = 10
_SHOWN_TIMEOUT_S = 2.0
# It is noted when a certificate ends within so many days; 0: it has ended.
NOTED_DAYS = (14.0, 3.0, 0.0)


class EtcdAccess:
    """The last findings. `weak`, `certificates`: empty until it was looked. `note` takes events."""

    def __init__(
        self, config: NodeConfig, note: Callable[[str, dict[str, Any]], None] = lambda event, data: None
    ) -> None:
        self._config, self._note = config, note
        self._noted: dict[CertificateEnd, float] = {}
        self.weak: list[Weakness] = []
        self.certificates: list[CertificateEnd] = []

    async def run(self) -> None:
        """Until cancelled."""
        shown: dict[str, CertificateEnd] = {}
        for number in itertools.count():
            before, self.weak = self.weak, await asyncio.to_thread(lambda: found_weak(self._config, root=True))
            for weakness in self.weak:
                if weakness not in before:
                    log.warning("insecure_setup", problem=weakness.problem, hint=weakness.hint)
            if number % _SHOWN_EVERY == 0:
                shown |= {known.path: known for known in await asyncio.to_thread(self._shown)}
            self.certificates = [*await asyncio.to_thread(certificate_ends, self._config), *shown.values()]
            self._note_ends()
            await asyncio.sleep(LOOK_S)

    def _note_ends(self) -> None:
        """Once for each of NOTED_DAYS."""
        before, self._noted = self._noted, {}
        for known in self.certificates:
            days = days_left(known)
            reached = [limit for limit in NOTED_DAYS if days <= limit]
            if not reached:
                continue
            self._noted[known] = min(reached)
            if before.get(known) != min(reached):
                end = known.end.isoformat(timespec="seconds")
                self._note("certificate_ends_soon", {"kind": known.kind, "path": known.path, "end": end, "days": days})

    def _shown(self) -> list[CertificateEnd]:
        """Of one that does not answer now, the last answer counts."""
        from election.etcd.shown import shown_ends  # noqa: PLC0415 - nothing hurries

        return shown_ends(self._config.endpoints, tls_files(self._config), _SHOWN_TIMEOUT_S)

    def facts(self) -> dict[str, Any]:
        """For the status document."""
        return {
            "weak": [weakness._asdict() for weakness in self.weak],
            "certificates": [
                {"kind": known.kind, "path": known.path, "end": known.end.isoformat(timespec="seconds")}
                for known in self.certificates
            ],
            "soonest_days": _days(self.certificates),
        }


def _days(ends: list[CertificateEnd]) -> float | None:
    """In how many days the first of them ends; None: there are none."""
    return min(map(days_left, ends), default=None)


def days_left(certificate: CertificateEnd) -> float:
    """In how many days it ends; below 0: it has ended."""
    return round((certificate.end - datetime.now(certificate.end.tzinfo)).total_seconds() / 86400, 2)
