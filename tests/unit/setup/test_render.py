"""The files that setup writes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from hactl.config.load import parse_cluster
from hactl.config.node import parse_node
from hactl.decide.timing import PROFILES
from hactl.setup.bundle import Bundle
from hactl.setup.contents import directories, files
from hactl.setup.errors import BadInputError
from hactl.setup.places import Places
from hactl.setup.plan import Host
from hactl.setup.render import cluster_yaml, drop_in, etcd_env, node_settings, node_toml
from tests.support.bundles import N2, NODES, bundle, plan

HERE = Places()


def settings_of(text: str) -> dict[str, str]:
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def env(of: Bundle) -> dict[str, str]:
    assert of.etcd is not None
    return settings_of(etcd_env(of, of.etcd, HERE))


def test_etcd_is_told_the_members_and_its_own_data_directory() -> None:
    told = env(bundle())
    assert told["ETCD_NAME"] == "n2"
    assert told["ETCD_DATA_DIR"] == "/var/lib/etcd/hactl"
    members = "n1=https://10.0.0.11:2380,n2=https://10.0.0.12:2380,n3=https://10.0.0.13:2380"
    assert told["ETCD_INITIAL_CLUSTER"] == members
    assert told["ETCD_INITIAL_CLUSTER_STATE"] == "new"


@pytest.mark.parametrize("profile", list(PROFILES))
def test_the_timing_of_etcd_is_that_of_the_configuration(profile: str) -> None:
    made = plan(profile=profile)
    told = env(bundle(N2, made))
    spec = parse_cluster(cluster_yaml(made, HERE))
    assert float(told["ETCD_ELECTION_TIMEOUT"]) == spec.timing.etcd_election_ms
    assert 5 * int(told["ETCD_HEARTBEAT_INTERVAL"]) <= spec.timing.etcd_election_ms  # as etcd wants it


def test_the_settings_by_hand_are_the_same_but_for_names_and_places() -> None:
    by_hand = settings_of(Path("deploy/etcd/etcd.default").read_text())
    places = ("NAME", "DATA_DIR", "URLS", "INITIAL_CLUSTER", "TOKEN", "_FILE")
    told = env(bundle())
    assert by_hand.keys() == told.keys()
    for name, value in by_hand.items():
        assert name.endswith(places) or told[name] == value, name


def test_the_drop_in_by_hand_is_the_same_but_for_the_settings_file() -> None:
    by_hand = Path("deploy/etcd/hactl.conf").read_text().splitlines()
    assert [line for line in drop_in(HERE).splitlines() if line not in by_hand] == [
        "# In place of /etc/default/etcd.",
        "EnvironmentFile=",
        "EnvironmentFile=/etc/hactl/etcd.env",
    ]


@pytest.mark.parametrize("names", [("n1", "n2", "n3"), ("on", "no", "y"), ("1", "2.0", "0x3"), ("null", "1e3", "a-b")])
def test_the_first_configuration_is_sound(names: tuple[str, ...]) -> None:
    made = plan(*(f"{name}=10.0.0.{number}" for number, name in enumerate(names, 11)))
    spec = parse_cluster(cluster_yaml(made, HERE))
    assert [(node.name, node.address) for node in spec.nodes] == [(host.name, host.address) for host in made.nodes]
    assert spec.name == "prod"


def test_a_witness_is_no_node_of_the_configuration() -> None:
    made = plan(*NODES[:2], witness="w=10.0.0.13")
    assert "10.0.0.13" not in cluster_yaml(made, HERE)


def test_node_toml_is_sound_and_names_the_own_member_first() -> None:
    of = bundle()
    assert of.node is not None
    node = parse_node(node_toml(node_settings(of, of.node, HERE)))
    assert (node.cluster, node.node) == ("prod", "n2")
    assert node.endpoints[0] == "https://10.0.0.12:2379" and len(node.endpoints) == 3
    assert (node.etcd_ca, node.etcd_cert) == ("/etc/hactl/pki/ca.pem", "/etc/hactl/pki/client.pem")


def test_node_toml_keeps_what_an_operator_wrote() -> None:
    of = bundle()
    assert of.node is not None
    settings = node_settings(of, of.node, HERE)
    old = 'cluster = "prod"\nwatchdog = "use"  # mine\nendpoints = ["https://10.0.0.12:2379"]\n'
    text = node_toml(settings, old)
    assert 'watchdog = "use"  # mine\n' in text
    assert tomllib.loads(text)["endpoints"] == list(of.node.endpoints)
    assert node_toml(settings, text) == text


@pytest.mark.parametrize("old", ["cluster = ", 'endpoints = [\n  "https://10.0.0.99:2379",\n]\n'])
def test_node_toml_that_cannot_be_changed_is_refused(old: str) -> None:
    of = bundle()
    assert of.node is not None
    with pytest.raises(BadInputError, match=r"node\.toml"):
        node_toml(node_settings(of, of.node, HERE), old)


def test_keys_are_for_their_owner_alone() -> None:
    for file in files(bundle(), HERE):
        is_secret = "PRIVATE KEY" in file.content or file.path.endswith("cluster.key")
        assert not is_secret or file.mode == 0o600, file.path
        assert (file.owner == "etcd") == file.path.startswith("/etc/hactl/etcd/"), file.path


def test_a_witness_gets_no_file_of_hactl() -> None:
    of = bundle(Host("w", "10.0.0.13"), plan(*NODES[:2], witness="w=10.0.0.13"))
    paths = [file.path for file in files(of, HERE)] + [directory.path for directory in directories(of, HERE)]
    assert not [path for path in paths if "pki" in path or path.endswith("cluster.key")]
