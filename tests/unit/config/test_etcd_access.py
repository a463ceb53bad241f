"""What node.toml says of the way to etcd: opened with secrets that are secret, and what is weak about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hactl.config.errors import ConfigErrors, UnusableFileError
from hactl.config.etcd_access import open_etcd, weaknesses
from hactl.config.node import NodeConfig
from hactl.config.rules.open_to_others import open_to_others

TLS = {"etcd_ca": "/ca.pem", "endpoints": ("https://10.0.0.1:2379",)}

CLIENT = {"etcd_cert": "/c.pem", "etcd_key": "/k.pem"}

USER = {"etcd_user": "hactl", "etcd_password_file": "/p"}


def node(**settings: Any) -> NodeConfig:
    return NodeConfig(cluster="demo", node="n1", **settings)


def said(has_key: bool = True, **settings: Any) -> list[str]:
    return [weakness.problem for weakness in weaknesses(node(**settings), has_key=has_key)]


@pytest.mark.parametrize("way", [{**TLS, **CLIENT}, {**TLS, **USER}, USER, {**TLS, **CLIENT, **USER}])
def test_nothing_is_said_where_nobody_else_gets_in(way: dict[str, Any]) -> None:
    assert said(**way) == []


def test_the_defaults_let_every_local_user_in() -> None:
    (problem,) = said()
    assert "every user of this machine can write to it" in problem


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"])
def test_loopback_needs_a_user_only(url: str) -> None:
    assert len(said(endpoints=(url,))) == 1 and said(endpoints=(url,), **USER) == []


@pytest.mark.parametrize("url", ["http://10.0.0.1:1", "http://[fd00::1]:1", "http://etcd.example:1"])
def test_a_network_needs_tls(url: str) -> None:
    (problem,) = said(endpoints=(url, "http://127.0.0.1:1"), **USER)
    assert f"without TLS ({url})" in problem and "password of etcd_user" in problem
    assert len(said(endpoints=(url,))) == 2


def test_tls_alone_lets_everybody_in() -> None:
    (problem,) = said(**TLS)
    assert "everybody who reaches it can write to it" in problem


def test_without_the_clusters_key_a_writer_to_etcd_is_root() -> None:
    (problem,) = said(has_key=False, **TLS, **CLIENT)
    assert "can have programs run as root on every node" in problem


def test_what_is_known_is_not_said() -> None:
    assert said(has_key=False, accept_insecure_etcd=True) == []


@pytest.mark.parametrize("setting", ["etcd_key", "etcd_password_file"])
def test_a_secret_that_others_may_read_is_refused(setting: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    given = {**TLS, **CLIENT, "etcd_key": str(secret)}
    if setting == "etcd_password_file":
        given = {"etcd_user": "u", setting: str(secret)}
    with pytest.raises(ConfigErrors, match="No such file"):
        open_etcd(node(**given))
    secret.write_text("geheim\n")
    secret.chmod(0o644)
    with pytest.raises(ConfigErrors, match=f"lets others read or change it: `chmod 600 {secret}`"):
        open_etcd(node(**given))


def test_a_password_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("geheim\n")
    secret.chmod(0o600)
    given: dict[str, Any] = {}
    monkeypatch.setattr("election.etcd.store.EtcdStore", lambda *_, **more: given.update(more))
    open_etcd(node(etcd_user="u", etcd_password_file=str(secret)))
    assert given["password"]() == "geheim"


def test_the_password_is_read_at_each_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("election.etcd.store.EtcdStore", lambda *_, **more: given.update(more))
    secret = tmp_path / "secret"
    secret.write_text("old\n")
    secret.chmod(0o600)
    open_etcd(node(etcd_user="u", etcd_password_file=str(secret)))
    assert given["password"]() == "old"
    secret.write_text("new\n")
    assert given["password"]() == "new"


def test_programs_of_root_that_others_may_change_are_named(tmp_path: Path) -> None:
    place, haproxy = tmp_path / "open", tmp_path / "open" / "haproxy"
    place.mkdir()
    haproxy.touch()
    haproxy.chmod(0o755)
    place.chmod(0o777)
    here = node(
        state_dir=str(place), run_dir="/nowhere", haproxy_binary=str(haproxy), self_fence=("command", str(haproxy), "x")
    )
    said = [problem for problem, _ in open_to_others(here, haproxy)]
    assert len(said) == 4 and all("and so have programs run as root" in problem for problem in said)
    assert {fix for _, fix in open_to_others(here)} == {f"`chmod go-w {place}`"}
    place.chmod(0o755)
    assert list(open_to_others(here, haproxy)) == []


def test_a_certificate_that_is_not_there_is_named() -> None:
    with pytest.raises(UnusableFileError, match=r"/nowhere/ca\.pem cannot be read"):
        open_etcd(node(etcd_ca="/nowhere/ca.pem", endpoints=("https://10.0.0.1:1",)))
