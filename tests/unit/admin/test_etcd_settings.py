"""etcd's settings, as `hactl etcd restore` reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hactl.admin.errors import NoSuchError
from hactl.admin.etcd.settings_file import read_members, read_settings

ROOT = Path(__file__).parents[3]
PATH = Path("/etc/default/etcd")


def test_the_example_of_the_documentation() -> None:
    settings = read_settings((ROOT / "deploy/etcd/etcd.default").read_text(), PATH)
    assert (settings.name, settings.client_url) == ("n1", "https://10.0.0.11:2379")
    assert settings.members == {name: f"https://10.0.0.1{name[1]}:2380" for name in ("n1", "n2", "n3")}
    assert settings.initial_cluster.startswith("n1=https://10.0.0.11:2380,n2=")
    assert settings.cert == "/etc/etcd/peer.pem"


TEXT = """\
# a comment
ETCD_NAME="n1"
ETCD_DATA_DIR='/var/lib/etcd/hactl'
ETCD_INITIAL_CLUSTER=n1=http://10.0.0.11:2380
ETCD_INITIAL_ADVERTISE_PEER_URLS=http://10.0.0.11:2380
ETCD_ADVERTISE_CLIENT_URLS=http://10.0.0.11:2379,http://127.0.0.1:2379
"""


def test_without_tls_and_with_quotes() -> None:
    settings = read_settings(TEXT, PATH)
    assert (settings.name, settings.data_dir, settings.ca) == ("n1", Path("/var/lib/etcd/hactl"), "")
    assert settings.client_url == "http://10.0.0.11:2379"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEXT.replace("ETCD_NAME", "ETCD_NOME"), "/etc/default/etcd has no ETCD_NAME"),
        (TEXT.replace("n1=http", "n1:http"), "is no member: write NAME=https://"),
        (TEXT.replace("http://10.0.0.11:2379", "https://10.0.0.11:2379"), "has no ETCD_TRUSTED_CA_FILE"),
        (f"{TEXT}ETCD_WAL_DIR=/wal\n", "restore by hand"),
    ],
)
def test_what_it_cannot_be_restored_with(text: str, words: str) -> None:
    with pytest.raises(NoSuchError, match=words):
        read_settings(text, PATH)


def test_members() -> None:
    assert read_members("a=http://a:1, b=http://b:1", "x") == {"a": "http://a:1", "b": "http://b:1"}
    with pytest.raises(NoSuchError, match="`a` has two addresses"):
        read_members("a=http://a:1,a=http://b:1", "x")
