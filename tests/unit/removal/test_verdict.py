"""May a removal begin, and what on the machine is hactl's own."""

from __future__ import annotations

import json

import pytest

from hactl.removal.verdict import (
    OWN_SYSCTL_FILE,
    SYSCTLS,
    Facts,
    RefusedError,
    first_step,
    not_handed_over,
    own_tables,
    sysctls_to_reset,
)

HELD = ("vip/address", "db/server", "db/address")
HOW = "`HACTL_REMOVE=force`"


def facts(*, daemon: bool, guarded: tuple[str, ...] = (), forced: bool = False) -> Facts:
    return Facts("n1", daemon, guarded, forced)


@pytest.mark.parametrize("guarded", [(), HELD])
@pytest.mark.parametrize("forced", [True, False])
def test_with_a_daemon_everything_is_handed_over(guarded: tuple[str, ...], forced: bool) -> None:
    assert first_step(facts(daemon=True, guarded=guarded, forced=forced), HOW) == "hand over"


def test_without_a_daemon_it_is_refused_while_something_may_run() -> None:
    with pytest.raises(RefusedError, match=r"db, vip may run here.*systemctl start hactl.*HACTL_REMOVE=force"):
        first_step(facts(daemon=False, guarded=HELD), HOW)
    assert first_step(facts(daemon=False, guarded=HELD, forced=True), HOW) == "stop"
    assert first_step(facts(daemon=False), HOW) == "stop"


def test_what_cannot_be_handed_over_refuses_only_where_something_runs() -> None:
    with pytest.raises(RefusedError, match=r"db, vip cannot be handed over: no other node.*Nothing was stopped"):
        not_handed_over(facts(daemon=True, guarded=HELD), "no other node", HOW)
    for known in (facts(daemon=True), facts(daemon=True, guarded=HELD, forced=True)):
        assert not_handed_over(known, "etcd is away", HOW) == "n1 could not be put into standby: etcd is away"


def test_a_setting_that_another_file_asks_for_stays() -> None:
    own = {OWN_SYSCTL_FILE: "net.ipv4.ip_nonlocal_bind = 1\nnet.ipv6.ip_nonlocal_bind = 1\n"}
    assert sysctls_to_reset(own) == list(SYSCTLS)
    assert sysctls_to_reset(own | {"/etc/sysctl.conf": "# net.ipv4.ip_nonlocal_bind=1\n"}) == list(SYSCTLS)
    for line in ("net.ipv4.ip_nonlocal_bind=1", " net/ipv4/ip_nonlocal_bind = 1", "-net.ipv4.ip_nonlocal_bind = 1"):
        assert sysctls_to_reset(own | {"/etc/sysctl.d/9.conf": line}) == ["net.ipv6.ip_nonlocal_bind"]


def test_its_own_tables() -> None:
    tables = [{"table": {"family": "netdev", "name": "hactl_vip_0a000001"}}, {"table": {"family": "inet", "name": "x"}}]
    listed = json.dumps({"nftables": [{"metainfo": {}}, *tables]})
    assert own_tables(listed) == [("netdev", "hactl_vip_0a000001")]


@pytest.mark.parametrize("listed", ["", "[]", "{}", '{"nftables": [1]}', '{"nftables": [{"table": 1}]}'])
def test_an_answer_that_is_none(listed: str) -> None:
    assert own_tables(listed) == []
