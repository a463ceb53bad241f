"""`hactl preset list` and `hactl preset show`, without a daemon, an etcd or a node.toml."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from hactl.config.presets import all_names, presets
from tests.unit.cli.conftest import Run


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HACTL_CONFIG", "/nowhere/node.toml")


def test_list(hactl: Run) -> None:
    status, out, err = hactl("preset", "list")
    assert (status, err) == (0, "")
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert rows["SERVICE"] == ["SERVICE", "PORT", "CHECK", "WHAT"]
    assert rows["mariadb"][1:5] == ["3306", "http", "/", "on"]
    assert rows["kube-apiserver"][1:6] == ["8443", "to", "6443", "https", "/readyz"]
    assert rows["cinder-volume"][1] == "Cinder's"
    assert set(presets()) < set(rows)
    assert all(name in out for name in all_names())


def test_show(hactl: Run) -> None:
    status, out, err = hactl("preset", "show", "glance")
    assert (status, err) == (0, "")
    assert "#   - {preset: glance, binds: [10.0.0.30]}" in out.splitlines()
    assert "timeouts: {client: 6h, server: 6h} # an image's" in out
    assert YAML(typ="safe").load(out)["binds"] == ["10.0.0.30:9292"]


@pytest.mark.parametrize("name", ["rabbitmq", "nova-scheduler"])
def test_show_what_needs_nothing(hactl: Run, name: str) -> None:
    status, out, _ = hactl("preset", "show", name)
    assert status == 0
    assert all(line.startswith("#") for line in out.splitlines())
    assert "neither a service nor a group" in out


@pytest.mark.parametrize(
    ("name", "hint"), [("glanze", "did you mean `glance`?"), ("q", "`hactl preset list` shows them")]
)
def test_show_one_that_is_not_there(hactl: Run, name: str, hint: str) -> None:
    assert hactl("preset", "show", name) == (2, "", f"error: `{name}` is no preset; {hint}\n")
