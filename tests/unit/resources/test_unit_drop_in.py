"""The drop-in of a unit, and the units that no group can own."""

from __future__ import annotations

import pytest

from hactl.config.errors import ConfigErrors
from hactl.config.load import parse_cluster
from hactl.resources.systemd import drop_in

CLUSTER = """cluster: c
nodes: [{name: n1, address: 10.0.0.11}, {name: n2, address: 10.0.0.12}]
groups:
  - name: g
    fencing: required
    resources: [{name: r, systemd: {unit: 'UNIT'}}]
"""


def settings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_a_service_is_started_and_restarted_by_hactl_alone() -> None:
    text = drop_in.text("db.service", "server", "/run/100%/owned/db.service")
    assert text.startswith("# Written by hactl") and "db.service" in text.splitlines()[0]
    assert settings(text) == [
        "[Unit]", "AssertPathExists=/run/100%%/owned/db.service", "RefuseManualStart=no", "RefuseManualStop=no",
        "StopWhenUnneeded=no", "[Service]", "Restart=no", "RestartForceExitStatus=",
    ]  # fmt: skip
    assert settings(drop_in.text("db.service", "server", "/m", oneshot=True))[-1] == "RemainAfterExit=yes"


def test_a_companion_is_only_kept_from_being_started() -> None:
    assert settings(drop_in.text("a.service", "a", "/m", companion=True)) == ["[Unit]", "AssertPathExists=/m"]
    assert "[Service]" not in drop_in.text("a.timer", "a", "/m")


@pytest.mark.parametrize(
    ("unit", "why"),
    [
        ("session-1.scope", "is made by the program"),
        ("dev-sda.device", "a device is the kernel's"),
        ("system.slice", "only holds other units"),
        ("dev-sdb.swap", "swap space"),
        ("worker@.service", "is a template"),
        ("hactl.service", "is hactl itself"),
        ("mariadb", "write `mariadb.service`"),
    ],
)
def test_units_that_cannot_be_owned_are_refused_with_words(unit: str, why: str) -> None:
    with pytest.raises(ConfigErrors) as error:
        parse_cluster(CLUSTER.replace("UNIT", unit))
    assert why in str(error.value) and "groups[0].resources[0].systemd" in str(error.value)


@pytest.mark.parametrize(
    "unit", ["a.service", "worker@1.service", "a.socket", "a.timer", "a.path", "a.target", "a.mount"]
)
def test_others_are_taken(unit: str) -> None:
    assert parse_cluster(CLUSTER.replace("UNIT", unit)).groups[0].resources[0].options.unit == unit  # type: ignore[union-attr]
