"""The node's part of cluster.yaml: put to use by all daemons first, then written into the file, so that the file never
says more than is in use."""

from __future__ import annotations

from pathlib import Path

from election.etcd.store import EtcdStore
from election.keys import Keys
from hactl.admin import config as commands
from hactl.admin import event_log
from hactl.config.cluster_key import read_key
from hactl.config.diff import diff
from hactl.config.errors import ConfigErrors
from hactl.config.load import check_text, read_text
from hactl.config.node import NodeConfig
from hactl.daemon.parts.config_reader import serial_in_use
from hactl.linux.atomic_write import write_atomically
from hactl.model.cluster import ClusterSpec
from hactl.setup.errors import RefusedError
from hactl.setup.files import Say
from hactl.setup.membership.cluster_text import with_address, with_name, with_node, without_node
from hactl.setup.places import Places
from hactl.setup.plan import Change


def edited(text: str, change: Change) -> str:
    """cluster.yaml as it is after the change. Raises RefusedError."""
    match change.verb:
        case "add":
            return with_node(text, change.host)
        case "remove":
            return without_node(text, change.host.name)
        case "replace":
            return with_address(text, change.host, change.old)
        case "rename":
            return with_name(text, change.old, change.host.name)


def is_there(change: Change, in_use: ClusterSpec, places: Places) -> bool:
    """Whether cluster.yaml and the configuration in use are as they are after the change. Raises RefusedError."""
    text = _read(places)
    return edited(text, change) == text and not diff(in_use, _spec(text, places))


def check(change: Change, in_use: ClusterSpec, places: Places) -> str:
    """cluster.yaml after the change. Raises RefusedError where that has a mistake, or where the file is not what is in
    use: other changes in it would be put to use with this one."""
    text = _read(places)
    wanted = edited(text, change)
    spec = _spec(wanted, places)
    if diff(in_use, spec) and (changes := diff(in_use, _spec(text, places))):
        file = places.cluster_yaml
        raise RefusedError(
            f"{file} is not the configuration in use (first difference: {changes[0]}): `hactl config diff {file}`, "
            f"then `hactl config apply {file}`, or bring the file of the configuration in use"
        )
    return wanted


def put_to_use(store: EtcdStore, config: NodeConfig, text: str, places: Places, by: str, say: Say) -> None:
    """`text` for all daemons, and as cluster.yaml. Raises RefusedError, StoreError."""
    spec, keys = _spec(text, places), Keys.of(config.cluster)
    key, used = read_key(Path(config.cluster_key)), serial_in_use(config.state_dir)
    done = commands.apply(store, keys, spec, by=by, key=key, used=used)
    if not done.ok:
        raise RefusedError(f"the configuration is refused: {'; '.join(done.refused)}")
    if done.changes or done.signed:
        event_log.note(store, keys, config.node, "config_applied", {"serial": done.serial, "by": by})
    for change in done.changes:
        say(f"config     {change}")
    path = Path(places.cluster_yaml)
    if path.read_text(encoding="utf-8") != text:
        mode = path.stat().st_mode & 0o777
        write_atomically(path, text, mode=mode)
        say(f"written    {path}")


def _read(places: Places) -> str:
    try:
        return read_text(Path(places.cluster_yaml))
    except ConfigErrors as error:
        raise RefusedError(f"{error}; `hactl node` needs the file of the configuration in use") from None


def _spec(text: str, places: Places) -> ClusterSpec:
    try:
        return check_text(text, places.cluster_yaml).spec
    except ConfigErrors as error:
        raise RefusedError("\nerror: ".join(str(problem) for problem in error.problems)) from None
