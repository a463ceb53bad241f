"""The daemon, as seen by its parts that serve, follow and test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from election.clock import Instant
from election.keys import Keys
from election.records import CheckReport
from election.store import Store
from hactl.config.node import NodeConfig
from hactl.daemon.observe.etcd import EtcdObserver
from hactl.daemon.observe.etcd_access import EtcdAccess
from hactl.daemon.observe.watchdog import WatchdogFollower
from hactl.daemon.parts.history import History
from hactl.daemon.parts.last_known import LastKnown
from hactl.decide.reading import ReadState
from hactl.status.health import NodeHealth
from hactl.supervise import Tasks

if TYPE_CHECKING:
    from hactl.daemon.hooks.feed import Hooks
    from hactl.daemon.metrics import Metrics
    from hactl.haproxy.control.manager import HaproxyManager


class DaemonView(Protocol):
    """The daemon, as they see it."""

    config: NodeConfig
    keys: Keys
    store: Store
    history: History
    watchdog: WatchdogFollower
    etcd_access: EtcdAccess
    etcd_observer: EtcdObserver
    last_known: LastKnown
    started_wall: float
    tasks: Tasks

    @property
    def metrics(self) -> Metrics:
        """The metrics for Prometheus."""

    @property
    def state(self) -> ReadState:
        """The state of the decide side."""

    @property
    def haproxy(self) -> HaproxyManager | None:
        """This node's HAProxy."""

    @property
    def health(self) -> NodeHealth | None:
        """The health of the servers, by this node's HAProxy."""

    @property
    def hooks(self) -> Hooks | None:
        """The hooks of the configuration; None: it has none."""

    @property
    def checks(self) -> Mapping[str, CheckReport]:
        """This node's health checks, with their last values."""

    @property
    def asking_problem(self) -> str:
        """Why guards are not asked; "" where they are."""

    @property
    def log_lines_lost(self) -> int:
        """How many lines of the log could not be written."""

    def now(self) -> Instant:
        """Both clocks."""

    async def blocking(self, call: Callable[..., Any], *args: Any) -> Any:
        """Run a blocking call on a thread."""

    async def query(self, call: Callable[..., Any], *args: Any) -> Any:
        """The same, for a request: on threads that nothing else waits for."""
