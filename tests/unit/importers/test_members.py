"""An import that is put into a cluster.yaml: servers that are nodes become members."""

from __future__ import annotations

from pathlib import Path

import pytest

from hactl.config.errors import ConfigErrors
from hactl.config.load import check_text
from hactl.haproxy.render.document import render
from hactl.haproxy.routing import Routing
from hactl.haproxy.settings import HaproxySettings
from hactl.haproxy.words import SECTIONS
from hactl.importers.haproxy.commands import import_haproxy
from hactl.importers.haproxy.compare import missing
from hactl.importers.haproxy.source import read_source

LAB = Path(__file__).parents[2] / "golden/importers/lab.cfg"
# The address with HAProxy on every node, and in one group with it.
HOT = """\
cluster: lab   # two of them
nodes:
  - {name: controller1, address: 192.168.0.10}
  - {name: controller2, address: 192.168.0.11}
groups:
  - name: balancer   # the address
    overlap: true
    resources:
      - {name: address, vip: {address: 192.168.0.30/24}}
"""
GROUPED = HOT.replace("    overlap: true\n", "") + "      - {name: haproxy, haproxy: {}}\n"
# What hactl itself does in the place of these.
NOT_WRITTEN = {"daemon", "pidfile"}

FILE = """\
listen all
    bind 192.168.0.30:80
    server a 192.168.0.10:80 check
    server b 192.168.0.11:80 check
listen one
    bind 192.168.0.30:81
    server b 192.168.0.11:80 check
"""


def into(tmp_path: Path, text: str, cluster: str = HOT) -> tuple[str, str, bool]:
    (tmp_path / "haproxy.cfg").write_text(text)
    (tmp_path / "cluster.yaml").write_text(cluster)
    done = import_haproxy([tmp_path / "haproxy.cfg"], tmp_path / "cluster.yaml")
    assert (tmp_path / "cluster.yaml").read_text() == cluster
    return done.yaml, "\n".join(done.report), done.whole


def rendered(text: str) -> str:
    spec = check_text(text, "cluster.yaml").spec
    nodes = [node.name for node in spec.nodes]
    return render(spec, Routing(frozenset(nodes)), nodes[0], HaproxySettings("/run/hactl/haproxy"))


@pytest.mark.parametrize("cluster", [HOT, GROUPED])
def test_the_lab_with_its_controllers_as_members(cluster: str, tmp_path: Path) -> None:
    text, report, whole = into(tmp_path, LAB.read_text(), cluster)
    assert whole and "keystone-admin: its servers (controller1, controller2) are its members now" in report
    assert "two of them" in text and "# the address" in text
    spec = check_text(text, "cluster.yaml").spec
    assert [(service.port, service.options.members) for service in spec.services] == [
        (80, True),
        (35357, True),
        (5000, True),
    ]
    original, made = (read_source(content, "x", SECTIONS) for content in (LAB.read_text(), rendered(text)))
    names = {id(section): "imported" for section in original.sections if section.kind == "defaults"}
    assert {line.keyword for line, _ in missing(original, made, names)} == NOT_WRITTEN


def test_the_lab_written_by_hand() -> None:
    """In the words of cluster.yaml, nothing kept as it was."""
    text = (
        HOT
        + """\
services:
  - name: horizon
    defaults: lab
    binds: ["192.168.0.30:80"]
    port: 80
    mode: http
    cookie: {name: SERVERID}
    timeouts: {client: 180s}
    check: {kind: tcp, inter: 1s}
  - &api
    name: keystone-admin
    defaults: lab
    binds: ["192.168.0.30:35357"]
    port: 35357
    check: {kind: tcp, inter: 1s}
  - name: keystone-public
    defaults: lab
    binds: ["192.168.0.30:5000"]
    port: 5000
    check: {kind: tcp, inter: 1s}
haproxy:
  maxconn: 40000
  defaults:
    lab:
      mode: tcp
      detailed_log: true
      log: [global]
      retries: 3
      redispatch: true
      timeouts: {connect: 10s, client: 60s, server: 60s}
      check: {timeout: 10s}
"""
    )
    original = read_source(LAB.read_text().replace("option redispatch", "option redispatch 1"), "x", SECTIONS)
    names = {id(section): "lab" for section in original.sections if section.kind == "defaults"}
    made = read_source(rendered(text), "x", SECTIONS)
    assert {line.keyword for line, _ in missing(original, made, names)} == NOT_WRITTEN


def test_some_of_the_nodes(tmp_path: Path) -> None:
    text, report, whole = into(tmp_path, FILE)
    services = check_text(text, "cluster.yaml").spec.services
    assert [service.options.nodes for service in services] == [(), ("controller2",)] and whole
    assert "service all: its servers (a, b) are its members now: controller1, controller2" in report


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("192.168.0.11:80 check\nlisten", "192.0.2.9:80 check\nlisten", "there are others, too"),
        ("server b 192.168.0.11:80 check\nl", "server b 192.168.0.11:81 check\nl", "no port in common"),
        ("server b 192.168.0.11:80 check\nl", "server b 192.168.0.11:80 check backup\nl", "`writer: elected`"),
        ("server b 192.168.0.11:80 check\nl", "server b 192.168.0.11:80 check weight 9\nl", "their weights differ"),
        ("server b 192.168.0.11:80 check\nl", "server b 192.168.0.11:80 check inter 3s\nl", "settings of its own"),
        ("server b 192.168.0.11:80 check\nl", "server b 192.168.0.10:80 check\nl", "is there twice"),
        ("listen one", "    use-server b if TRUE\nlisten one", "`b` is named by a rule"),
        ("listen one\n", "listen one\n    acl x srv_is_up(all/b)\n", "`b` is named by a rule"),
        ("listen one", "    acl x srv_is_up(b)\nlisten one", "`b` is named by a rule"),
        ("80 check\nlisten one", "80 track a\nlisten one", "settings of its own"),
        ("listen one\n", "listen one\n    server t 192.0.2.1:80 track all/b\n", "`b` is named by a rule"),
        ("listen one\n", "listen one\n    default-server track all/a\n", "`a` is named by a rule"),
        ("listen one", "    use-server %[hdr(x)] if TRUE\nlisten one", "by a name that it makes up"),
        ("listen one", "    http-request deny if { srv_name b }\nlisten one", "`b` is named by a rule"),
        ("80 check", "80 check weight 0", "their weights differ"),
        ("    server a", "    default-server weight 0\n    server a", "their weight is 0"),
    ],
)
def test_servers_that_stay_a_list(old: str, new: str, why: str, tmp_path: Path) -> None:
    text, report, whole = into(tmp_path, FILE.replace(old, new, 1))
    assert any("and stay in the list: " in line and why in line for line in report.splitlines())
    service = check_text(text, "cluster.yaml").spec.services[0]
    nodes = {server.node for server in service.options.servers if server.address.startswith("192.168.")}
    assert service.options.members is False and whole and nodes <= {"controller1", "controller2"}


def test_a_weight_of_0_behind_all_servers_stays(tmp_path: Path) -> None:
    text, report, _ = into(tmp_path, "defaults\n    default-server weight 0\n" + FILE)
    assert report.count("their weight is 0") == 2 and "default-server weight 0" in rendered(text)


def test_what_the_cluster_has_already_is_kept_and_listed(tmp_path: Path) -> None:
    there = """\
services:
  - {name: one, binds: ["192.168.0.30:99"], port: 99}
haproxy:
  maxconn: 5
  log: [stderr local0]
  extra_global: [tune.bufsize 16384]
  defaults: {imported: {mode: http}}
"""
    text, report, whole = into(tmp_path, "global\n maxconn 6\n chroot /x\ndefaults\n mode tcp\n" + FILE, HOT + there)
    assert not whole
    assert "service one: the cluster has one of that name already" in report
    assert "haproxy.maxconn: 6: the cluster has 5" in report and "haproxy.log" not in report
    loaded = check_text(text, "cluster.yaml")
    assert loaded.spec.haproxy.maxconn == 5
    assert [service.options.defaults for service in loaded.spec.services] == ["", "imported-2"]
    assert list(loaded.spec.haproxy.defaults or {}) == ["imported", "imported-2"]
    assert loaded.spec.haproxy.extra_global == ("tune.bufsize 16384", "chroot /x")


def test_a_cluster_that_would_not_be_sound_is_said_to_be(tmp_path: Path) -> None:
    _, report, whole = into(tmp_path, FILE.replace("192.168.0.30:81", "192.168.0.11:80"))
    assert not whole and "which itself listens on 192.168.0.11:80 on controller2" in report


def test_without_a_cluster_a_hint(tmp_path: Path) -> None:
    done = import_haproxy([LAB])
    assert done.whole
    wanted = "horizon, keystone-admin, keystone-public: served by 192.168.0.10, 192.168.0.11; if these are the nodes"
    assert any(wanted in line for line in done.report)
    with pytest.raises(ConfigErrors, match="cannot be read"):
        import_haproxy([tmp_path / "absent"])
    (tmp_path / "latin").write_bytes(b"global\n # caf\xe9\n maxconn 5\n")
    assert "maxconn: 5" in import_haproxy([tmp_path / "latin"]).yaml
