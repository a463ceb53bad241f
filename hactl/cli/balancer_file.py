"""The file that HAProxy gets on a node: rendered from cluster.yaml or from the store, and compared. Heavy to import."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from election.keys import Keys
from election.reading import ReadView
from election.view import View
from hactl.admin import health_store
from hactl.cli.common import BAD_INPUT, FAILED, CliError, open_store, settings, settings_path
from hactl.config.diff import diff
from hactl.config.document import read_stored
from hactl.config.load import load_cluster
from hactl.config.node import NodeConfig
from hactl.haproxy.render.document import body, fingerprint, render
from hactl.haproxy.routing import Routing, routing_of
from hactl.haproxy.settings import HaproxySettings
from hactl.model.cluster import ClusterSpec
from hactl.status.health import current

_TIMEOUT_S = 5.0
_DEFAULT_DIR = "/run/hactl/haproxy"


@dataclass(frozen=True, slots=True)
class StoredConfig:
    """The store's content. `view`: the live nodes, drains and owners. `files`: the configuration with which each live
    node's HAProxy runs, as the node says; "" where none runs."""

    spec: ClusterSpec
    view: ReadView
    revision: int
    files: Mapping[str, str]


def read_store(node: NodeConfig) -> StoredConfig:
    """The configuration in use. Raises CliError, ConfigErrors, StoreError."""
    view = View(Keys.of(node.cluster))
    with closing(open_store(node)) as store:
        view.load(store.snapshot(view.keys.prefix, timeout_s=_TIMEOUT_S))
        documents = health_store.read(store, view.keys)
    if view.config is None:
        raise CliError(f"there is no cluster `{node.cluster}` in the store: begin it by `hactl init`", FAILED)
    files = {name: health.file for name, health in current(documents, view).items()}
    return StoredConfig(read_stored(view.config.record, checked=False).spec, view, view.config.mod_revision, files)


def rendered(file: Path | None, node: str, config: Path | None) -> str:
    """The file of `node` ("": this one, else the first). `file`: a cluster.yaml, taken with all nodes live and every
    group on its first node; without it: the configuration in use and the state now."""
    if file is None:
        here = settings(config)
        known = read_store(here)
        name = _node(known.spec, node or here.node)
        return _render(known.spec, routing_of(known.view, known.spec, name), name, here, known.revision)
    local = settings(config) if settings_path(config).exists() else None
    spec = load_cluster(file)
    names = [configured.name for configured in spec.nodes]
    default = local.node if local and local.node in names else names[0]
    return _render(spec, _all_well(spec), _node(spec, node or default), local, None)


def _all_well(spec: ClusterSpec) -> Routing:
    names = [node.name for node in spec.nodes]
    first = {group.name: (group.nodes or names)[0] for group in spec.groups if group.enabled}
    return Routing(frozenset(names), owners=first)


def _node(spec: ClusterSpec, name: str) -> str:
    known = [node.name for node in spec.nodes]
    if name not in known:
        raise CliError(f"`{name}` is no node of cluster {spec.name}; its nodes are {', '.join(known)}", BAD_INPUT)
    return name


def _render(spec: ClusterSpec, routing: Routing, node: str, here: NodeConfig | None, revision: int | None) -> str:
    paths = HaproxySettings(here.haproxy_dir if here else _DEFAULT_DIR)
    try:
        return render(spec, routing, node, paths, revision)
    except ValueError as error:
        raise CliError(f"cannot be rendered: {error}", FAILED) from None


def differences(file: Path | None, config: Path | None) -> Iterator[str]:
    """The changes in `file`; for each other node, whether HAProxy runs with the file that it makes; and how the file in
    place on this node differs. Without `file` the configuration in use takes its place."""
    here = settings(config)
    known = read_store(here)
    wanted = load_cluster(file) if file else known.spec
    if file:
        changes = [str(change) for change in diff(known.spec, wanted)]
        yield f"settings, {file} against the configuration in use (revision {known.revision}):"
        yield from (f"  {change}" for change in changes or ["no difference"])
        yield ""
    name = _node(wanted, here.node)
    for other in wanted.nodes:
        if other.name != name:
            yield f"HAProxy on {other.name}: {_elsewhere(known, wanted, other.name, here)}"
    text = _render(wanted, routing_of(known.view, wanted, name), name, here, known.revision)
    yield from _against_file(HaproxySettings(here.haproxy_dir).config_file, text, name)


def _elsewhere(known: StoredConfig, wanted: ClusterSpec, node: str, here: NodeConfig) -> str:
    """Whether another node's HAProxy runs with the wanted file, as far as it is known here."""
    if node not in known.files:
        return "not known: its daemon is away, or has just begun"
    if not known.files[node]:
        return "does not run"
    text = _render(wanted, routing_of(known.view, wanted, node), node, here, known.revision)
    if known.files[node] == fingerprint(text, here.haproxy_dir):
        return "no difference"
    return "runs with another file; to see how it differs, run this on that node"


def _against_file(path: str, text: str, node: str) -> Iterator[str]:
    """A unified diff, without the header that tells the revision."""
    try:
        there = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        there = ""
        yield f"on {node}, {path} is not there: HAProxy does not run here"
    except OSError as error:
        raise CliError(f"{path}: cannot be read: {error.strerror}; do this as root", FAILED) from None
    old, new = body(there).split("\n"), body(text).split("\n")
    lines = list(difflib.unified_diff(old, new, f"{path} on {node}", "wanted", lineterm=""))
    yield from lines or [f"{path} on {node}: no difference"]
