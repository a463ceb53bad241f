"""How this node reaches etcd: what is weak about it, and until when the certificates hold. Looked at now and then, on
a thread, since it reads files."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import structlog

from election.etcd.tls import CertificateEnd
from hactl.config.etcd_access import Weakness, found_weak, tls_files
from hactl.config.node import NodeConfig

log = structlog.get_logger()

LOOK_S = 60.0


class EtcdAccess:
    """What was found last. `weak`, `certificates`: empty until it was looked."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self.weak: list[Weakness] = []
        self.certificates: list[CertificateEnd] = []

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            found = await asyncio.to_thread(lambda: found_weak(self._config, root=True))
            for one in found:
                if one not in self.weak:
                    log.warning("insecure_setup", problem=one.problem, hint=one.hint)
            self.weak = found
            self.certificates = await asyncio.to_thread(tls_files(self._config).ends)
            await asyncio.sleep(LOOK_S)

    def facts(self) -> dict[str, Any]:
        """For the status document."""
        return {
            "weak": [one._asdict() for one in self.weak],
            "certificates": [
                {
                    "kind": certificate.kind,
                    "path": certificate.path,
                    "end": certificate.end.isoformat(timespec="seconds"),
                }
                for certificate in self.certificates
            ],
            "soonest_days": _days(self.certificates),
        }


def _days(ends: list[CertificateEnd]) -> float | None:
    """In how many days the first of them ends; None: there are none."""
    if not ends:
        return None
    soonest = min(one.end for one in ends)
    return round((soonest - datetime.now(soonest.tzinfo)).total_seconds() / 86400, 2)
