"""What etcd's members measure themselves, gathered now and then. It reads pages over the network: on a thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from election.etcd.facts import EndpointFacts
from election.etcd.server_metrics import ServerMetrics, parse
from election.etcd.tls import TlsFiles
from hactl.config.etcd_access import tls_files
from hactl.config.node import NodeConfig

GATHER_S = 30.0
TIMEOUT_S = 1.0
# What is said of a member is of the time between the first and the last of so many pages.
_PAGES = 3

Page = Callable[[str, TlsFiles, float], str]


def _page(endpoint: str, tls: TlsFiles, timeout_s: float) -> str:
    from election.etcd.metrics_page import metrics_page  # noqa: PLC0415 - nothing hurries

    return metrics_page(endpoint, tls, timeout_s)


class EtcdMetrics:
    """`latest`: by endpoint, what happened at its member in the last minute or so."""

    def __init__(self, config: NodeConfig, page: Page = _page) -> None:
        self._tls, self._page = tls_files(config), page
        self._pages: dict[str, deque[ServerMetrics]] = {}
        self._due = 0.0

    @property
    def latest(self) -> Mapping[str, ServerMetrics]:
        """Of the members that answered twice."""
        return {
            endpoint: pages[-1].since(pages[0]) if len(pages) > 1 else ServerMetrics(pages[-1].quota_bytes)
            for endpoint, pages in self._pages.items()
        }

    def gather(self, facts: Iterable[EndpointFacts]) -> None:
        """Ask the endpoints that answered, when it is time. Blocks for TIMEOUT_S at each at most."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + GATHER_S
        pages = {}
        for fact in facts:
            if not fact.problem:
                before = self._pages.get(fact.endpoint, deque(maxlen=_PAGES))
                try:
                    before.append(parse(self._page(fact.endpoint, self._tls, TIMEOUT_S)))
                except OSError:
                    continue  # it has none, or it is asked again
                pages[fact.endpoint] = before
        self._pages = pages

    def with_quotas(self, facts: Iterable[EndpointFacts]) -> tuple[EndpointFacts, ...]:
        """The facts, with the quota from the page where the member does not state it (etcd before 3.6)."""
        quotas = {endpoint: pages[-1].quota_bytes for endpoint, pages in self._pages.items()}
        return tuple(
            fact._replace(quota_bytes=fact.quota_bytes or quotas.get(fact.endpoint, 0)) if not fact.problem else fact
            for fact in facts
        )
