"""`hactl recover`: its explanation, and its work. Heavy to import."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from election.keys import Keys
from election.records import RecordError
from election.view import View
from hactl.admin import event_log, identity
from hactl.admin.config import first_document
from hactl.admin.errors import RefusedError
from hactl.cli.common import BAD_INPUT, FAILED, CliError, open_store
from hactl.config.cluster_key import read_key
from hactl.config.document import read_stored
from hactl.config.errors import ConfigErrors
from hactl.config.load import read_cluster
from hactl.config.node import IDENTITY_FILE, NodeConfig
from hactl.config.stored import FORMAT, StoredConfig
from hactl.daemon.parts.config_reader import serial_in_use
from hactl.daemon.parts.state_files import KnownStore, read_typed
from hactl.model.cluster import ClusterSpec

TIMEOUT_S = 5.0


class Recovery:
    """A recovery that is about to be made, with the content of the store and of this node's disk."""

    def __init__(self, config: NodeConfig, cluster_yaml: Path | None) -> None:
        self._config = config
        self._file = self._read_file(cluster_yaml)
        self._known_generation = _known_generation(config)
        self._store = open_store(config)
        self._view = View(Keys.of(config.cluster))
        self._view.load(self._store.snapshot(self._view.keys.prefix, timeout_s=TIMEOUT_S))
        self._stored, self._lost = self._read_stored()

    def explanation(self) -> Iterator[str]:
        """The state of the store, and the effects of the recovery."""
        view, identity = self._view, self._view.identity
        there = f"generation {identity.record.generation}" if identity else "no identity"
        yield f"cluster {self._config.cluster}: the store has {there} at revision {view.revision}; " + (
            f"this node knows generation {self._known_generation}" if self._known_generation else "this node knows none"
        )
        if view.sessions:
            yield f"live sessions, which will end: {', '.join(sorted(view.sessions))}"
        if self._lost:
            yield f"{self._lost}: that of the file is used"
        elif self._file is not None:
            yield "the store has a configuration: the file is not used"
        yield "Every node will stop all it runs exclusively, say so, and take part again. Nodes that do not say so:"
        yield "make sure that they are off, then `hactl fence confirm NODE`. Until then groups with"
        yield "`fencing: required` are started nowhere; groups with `fencing: lease` after one lease."

    def carry_out(self, by: str) -> int:
        """Do it; the new generation."""
        spec = self._spec()
        key, used = read_key(Path(self._config.cluster_key)), serial_in_use(self._config.state_dir)
        document = first_document(spec, by=by, key=key, used=used)
        names = [node.name for node in spec.nodes]
        try:
            known, lease_ms, lost = self._known_generation, spec.timing.lease_ms, bool(self._lost)
            generation = identity.recover(self._store, self._view, known, names, lease_ms, document, lost=lost)
        except RefusedError as error:
            raise CliError(str(error), FAILED) from None
        data = {"generation": generation, "by": by}
        event_log.note(self._store, self._view.keys, self._config.node, "recovered", data)
        return generation

    def close(self) -> None:
        """Let go of etcd."""
        self._store.close()

    def _spec(self) -> ClusterSpec:
        spec = self._stored or self._file
        if spec is None:
            raise CliError(f"{self._lost}: give the file: `hactl recover CLUSTER_YAML`", BAD_INPUT)
        return spec

    def _read_stored(self) -> tuple[ClusterSpec | None, str]:
        """The configuration in the store, or why it counts as lost."""
        if self._view.config is None:
            return None, "the store has lost its configuration"
        text = self._view.config.record
        try:
            return read_stored(text, checked=False).spec, ""
        except ConfigErrors as error:
            with contextlib.suppress(RecordError):
                if StoredConfig.from_json(text, self._view.keys.config).format > FORMAT:
                    raise  # a later version reads it
            return None, f"the configuration in the store cannot be read ({error})"

    def _read_file(self, path: Path | None) -> ClusterSpec | None:
        if path is None:
            return None
        spec = read_cluster(path).spec
        if spec.name != self._config.cluster:
            raise CliError(f"{path}: it is of cluster `{spec.name}`, not `{self._config.cluster}`", BAD_INPUT)
        return spec


def _known_generation(config: NodeConfig) -> int:
    """The generation that this node's daemon has kept on disk, 0: none."""
    path = Path(config.state_dir, IDENTITY_FILE)
    try:
        return read_typed(path, KnownStore).generation
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        raise CliError(f"{path} cannot be read: {error}; recover from another node", FAILED) from None
