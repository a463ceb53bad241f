"""The first machine's part: the plan, the authority, the cluster's key, a bundle for each machine; and the beginning of
the cluster in etcd once its members are there."""

from __future__ import annotations

import contextlib
import datetime
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from election.etcd.x509 import ends
from hactl.setup.authority import ADMIN, Authority, client, peer, server, user_of
from hactl.setup.bundle import (
    ADMIN_PAIR,
    CLIENT,
    PEER,
    SERVER,
    Bundle,
    EtcdPart,
    NodePart,
    Pair,
    certificates,
    decode,
    encode,
)
from hactl.setup.checks import here_of
from hactl.setup.contents import Directory, File
from hactl.setup.errors import BadInputError, RefusedError
from hactl.setup.files import Change, Say
from hactl.setup.machine import Machine
from hactl.setup.places import Places
from hactl.setup.plan import Host, Plan
from hactl.setup.render import cluster_yaml
from hactl.setup.sight import MACHINE_ID, machine_id

if TYPE_CHECKING:
    from hactl.config.node import NodeConfig

_LOOK_S = 2.0


def stored_plan(places: Places) -> Plan | None:
    """The plan that setup began with here; None: there is none. Raises RefusedError."""
    path = Path(places.plan)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(f"{path} cannot be used: {error}; bring it back from a backup") from None


def keep_plan(plan: Plan, places: Places, machine: Machine, say: Say) -> None:
    """Store it."""
    writer = machine.files(say)
    for directory in (Directory(places.etc), Directory(places.authority, 0o700)):
        writer.directory(directory)
    writer.file(File(places.plan, (msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n").decode(), 0o600))


def prepare(plan: Plan, places: Places, machine: Machine, say: Say) -> dict[str, Bundle]:
    """The authority, the key, the first cluster.yaml and all bundles, by machine; what is there is kept. Raises
    RefusedError."""
    keep_plan(plan, places, machine, say)
    writer = machine.files(say)
    writer.directory(Directory(f"{places.authority}/join", 0o700))
    authority = None if plan.etcd else Authority(places.authority, plan.cluster)
    if authority:
        made = authority.make()
        say(Change(f"written    {authority.certificate}") if made else f"unchanged  {authority.certificate}")
    key = cluster_key(places, say)
    if not Path(places.cluster_yaml).exists():
        writer.file(File(places.cluster_yaml, cluster_yaml(plan, places)))
    here, bundles = _own_machine_id(plan, places, machine), {}
    for host in plan.hosts:
        bundle = _bundle(plan, host, authority, key, machine.now(), _old_bundle(places, host, machine.now()))
        if bundle.node and not bundle.node.machine_ids and host.name not in here:
            bundle = msgspec.structs.replace(bundle, node=msgspec.structs.replace(bundle.node, machine_ids=here))
        writer.file(File(places.bundle(host.name), encode(bundle).decode(), 0o600))
        bundles[host.name] = bundle
    return bundles


def _own_machine_id(plan: Plan, places: Places, machine: Machine) -> dict[str, str]:
    """This machine's id, by its name: the others are often copies of one disk image, and this one, too."""
    me, (own_id, _) = here_of(plan.hosts, frozenset(machine.addresses())), machine_id(places.at(MACHINE_ID))
    return {me.name: own_id} if isinstance(me, Host) and own_id else {}


def renew(plan: Plan, places: Places, machine: Machine, say: Say, *, new_keys: bool) -> dict[str, Bundle]:
    """All bundles, with new certificates. They are of the same keys, unless `new_keys`: a key and a certificate are two
    files, and who begins a connection between the two writes must find a pair. Raises RefusedError."""
    if plan.etcd:
        raise RefusedError(
            "the certificates for this etcd are of your own authority: write the renewed ones over `etcd_cert` and "
            "`etcd_key` of node.toml on every node; nothing needs a restart"
        )
    authority = Authority(places.authority, plan.cluster)
    if not authority.certificate.exists():
        raise RefusedError(f"the authority is not there: {authority.certificate}; bring it back from a backup")
    authority.make()  # it is checked
    key, writer, bundles = cluster_key(places, say), machine.files(say), {}
    for host in plan.hosts:
        old = read_made_bundle(places, host)
        bundle = new_bundle(plan, host, authority, key, machine.now(), old, same_keys=not new_keys)
        writer.file(File(places.bundle(host.name), encode(bundle).decode(), 0o600))
        bundles[host.name] = bundle
    return bundles


def cluster_key(places: Places, say: Say) -> str:
    """The cluster's key as its file has it, made where there is none."""
    from hactl.config.cluster_key import create_key, read_key  # noqa: PLC0415

    path = Path(places.cluster_key)
    key = read_key(path)
    if key is None:
        create_key(path)
        say(Change(f"written    {path}"))
        key = read_key(path)
    return f"{(key or b'').decode()}\n"


def read_made_bundle(places: Places, host: Host) -> Bundle | None:
    """The bundle that was made before for this machine; None: there is none."""
    path = places.bundle(host.name)
    try:
        bundle = decode(Path(path).read_bytes(), path)
    except (FileNotFoundError, BadInputError):
        return None
    return bundle if bundle.host == host else None


def _old_bundle(places: Places, host: Host, now: float) -> Bundle | None:
    """The bundle that was made before, with certificates that hold."""
    bundle = read_made_bundle(places, host)
    hold = bundle and all(ends(pair.cert)[0].timestamp() > now for _, pair in certificates(bundle))
    return bundle if hold else None


def _bundle(plan: Plan, host: Host, authority: Authority | None, key: str, now: float, old: Bundle | None) -> Bundle:
    """What the machine needs; keys and certificates of `old` where it has them."""
    if authority is None:
        return with_own_etcd(plan, host, key, now, old)
    parts = (host in plan.members, host in plan.nodes)
    if old and (bool(old.etcd), bool(old.node)) == parts and authority.certificate.read_text() == _authority_of(old):
        etcd = _first_start(plan, old)
        if old.etcd and etcd is None:  # of a plan that is lost
            etcd = msgspec.structs.replace(old.etcd, members=plan.members, token=plan.token)
        node = msgspec.structs.replace(old.node, cluster_key=key, endpoints=plan.endpoints(host)) if old.node else None
        return msgspec.structs.replace(old, cluster=plan.cluster, etcd=etcd, node=node, profile=plan.profile)
    return new_bundle(plan, host, authority, key, now, None)


def _authority_of(bundle: Bundle) -> str:
    return bundle.etcd.ca if bundle.etcd else bundle.node.ca if bundle.node else ""


def _first_start(plan: Plan, old: Bundle | None) -> EtcdPart | None:
    """The part of etcd that was made before, for the cluster of this plan. Members that came later are written into it
    by `hactl node`: they count in a restore, else at the first start only."""
    return old.etcd if old and old.etcd and old.etcd.token.startswith(plan.token) else None


def new_bundle(
    plan: Plan,
    host: Host,
    authority: Authority,
    key: str,
    now: float,
    old: Bundle | None,
    *,
    same_keys: bool = False,
) -> Bundle:
    """With new certificates; of the keys of `old`, if `same_keys`."""
    known = {use: pair.key for use, pair in certificates(old)} if old and same_keys else {}
    ca = authority.certificate.read_text()
    etcd = None
    if host in plan.members:
        server_pair = authority.issue(server(host), known.get(SERVER, ""))
        peer_pair = authority.issue(peer(host), known.get(PEER, ""))
        if first := _first_start(plan, old):
            etcd = msgspec.structs.replace(first, ca=ca, server=server_pair, peer=peer_pair)
        else:
            etcd = EtcdPart(plan.members, plan.token, ca, server_pair, peer_pair)
    node = None
    if host in plan.nodes:
        user = authority.issue(client(user_of(host.name)), known.get(CLIENT, ""))
        admin = authority.issue(client(ADMIN), known.get(ADMIN_PAIR, ""))
        node = NodePart(plan.endpoints(host), key, ca, user, admin)
    return Bundle(plan.cluster, host, now, etcd, node, plan.profile)


def with_own_etcd(plan: Plan, host: Host, key: str, now: float, old: Bundle | None) -> Bundle:
    """With the operator's etcd and its certificates."""
    given = plan.etcd
    assert given is not None
    try:
        texts = [Path(path).read_text(encoding="ascii") if path else "" for path in (given.ca, given.cert, given.key)]
        pair = Pair(texts[1], texts[2]) if given.cert else None
        node = NodePart(given.endpoints, key, texts[0], pair)
    except OSError as error:
        raise BadInputError(f"{error.filename} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise BadInputError(f"--etcd-ca, --etcd-cert, --etcd-key: {error}") from None
    return Bundle(plan.cluster, host, old.made_at if old else now, None, node, plan.profile)


def are_prepared(plan: Plan, places: Places, now: float) -> bool:
    """Whether every machine's bundle is made, with certificates that hold at `now`."""
    return all(_old_bundle(places, host, now) for host in plan.hosts)


def has_begun(config: NodeConfig) -> bool:
    """Whether etcd holds the cluster. Raises StoreError."""
    from election.keys import Keys  # noqa: PLC0415
    from hactl.admin.transaction import TIMEOUT_S  # noqa: PLC0415
    from hactl.config.etcd_access import open_etcd  # noqa: PLC0415

    with closing(open_etcd(config)) as store:
        return store.get(Keys.of(config.cluster).config, timeout_s=TIMEOUT_S)[0] is not None


def begin_cluster(config: NodeConfig, places: Places, by: str, say: Say) -> None:
    """Begin the cluster's history in etcd with cluster.yaml; kept where this cluster has begun. Raises RefusedError,
    ConfigErrors, StoreError."""
    from election.keys import Keys  # noqa: PLC0415
    from hactl.admin import identity  # noqa: PLC0415
    from hactl.admin.config import first_document  # noqa: PLC0415
    from hactl.admin.etcd.fitness import check_etcd  # noqa: PLC0415
    from hactl.admin.transaction import TIMEOUT_S  # noqa: PLC0415
    from hactl.config.cluster_key import read_key  # noqa: PLC0415
    from hactl.config.etcd_access import open_etcd  # noqa: PLC0415
    from hactl.config.load import load_cluster  # noqa: PLC0415

    key = read_key(Path(config.cluster_key))
    with closing(open_etcd(config)) as store:
        keys = Keys.of(config.cluster)
        current, _ = store.get(keys.config, timeout_s=TIMEOUT_S)
        if current is not None:
            _check_ours(current.value, config.cluster, key or b"")
            say(f"the cluster {config.cluster} has begun already")
            return
        spec = load_cluster(Path(places.cluster_yaml))
        if spec.name != config.cluster:
            raise RefusedError(f"{places.cluster_yaml} is of cluster {spec.name}, not {config.cluster}: move it away")
        again = "; then repeat `hactl setup`: it goes on"
        check_etcd(store.look(_LOOK_S), config, spec, say, then=again, in_doubt=again)
        identity.init(store, spec.name, first_document(spec, by=by, key=key), config.state_dir)
    say(Change(f"the cluster {config.cluster} has begun"))


def _check_ours(text: str, cluster: str, key: bytes) -> None:
    from election.records import RecordError  # noqa: PLC0415
    from hactl.config.signature import signed_by  # noqa: PLC0415
    from hactl.config.stored import StoredConfig  # noqa: PLC0415

    with contextlib.suppress(RecordError):
        if signed_by(StoredConfig.from_json(text, "config"), cluster, key):
            return
    raise RefusedError(
        f"etcd holds a cluster `{cluster}` that was begun with another key: choose another name, `--cluster`; or "
        "add these nodes to that cluster, on one of its nodes"
    )


def new_token(cluster: str) -> str:
    """Of a new etcd cluster: no other has it."""
    return f"{cluster}-{datetime.datetime.now(datetime.UTC):%Y%m%d}-{os.urandom(4).hex()}"
