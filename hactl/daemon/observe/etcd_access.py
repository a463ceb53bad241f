"""This node's access to etcd: its weaknesses, and the ends of the certificates. Looked at now and then, on a thread,
since it reads files."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import structlog

from election.etcd.tls import CertificateEnd
from hactl.config.etcd_access import Weakness, certificate_ends, found_weak
from hactl.config.node import NodeConfig

log = structlog.get_logger()

LOOK_S = 60.0


class EtcdAccess:
    """The last findings. `weak`, `certificates`: empty until it was looked."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self.weak: list[Weakness] = []
        self.certificates: list[CertificateEnd] = []

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            before, self.weak = self.weak, await asyncio.to_thread(lambda: found_weak(self._config, root=True))
            for weakness in self.weak:
                if weakness not in before:
                    log.warning("insecure_setup", problem=weakness.problem, hint=weakness.hint)
            self.certificates = await asyncio.to_thread(certificate_ends, self._config)
            await asyncio.sleep(LOOK_S)

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
    if not ends:
        return None
    soonest = min(certificate.end for certificate in ends)
    return round((soonest - datetime.now(soonest.tzinfo)).total_seconds() / 86400, 2)
