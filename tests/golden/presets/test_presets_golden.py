"""What HAProxy is told for each preset, and that it takes it. `HACTL_UPDATE_GOLDEN=1 pytest tests/golden/presets`
writes the files anew: one preset of each kind."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hactl.config.load import check_text, parse_cluster
from hactl.config.presets import presets
from hactl.haproxy.control.files import find_haproxy
from hactl.haproxy.render.document import render
from hactl.haproxy.routing import Routing
from hactl.haproxy.settings import HaproxySettings
from hactl.model.cluster import ClusterSpec
from tests.support.control_plane import CERTIFICATE, EXAMPLES, write_certificate

HERE = Path(__file__).parent
SERVICES = [name for name, one in presets().items() if one.kind == "service"]
# One of each kind: plain, long transfers, by the source, a cookie, rules, one writer, a role, a check by TLS.
KINDS = (
    "keystone", "glance", "nova-metadata", "novnc", "serial", "horizon", "ironic-public", "mariadb", "redis", "etcd",
    "ovn-nb", "kube-apiserver",
)  # fmt: skip
HEAD = """\
cluster: demo
nodes: [{name: n1, address: 10.0.0.11}, {name: n2, address: 10.0.0.12}, {name: n3, address: 10.0.0.13}]
groups:
  - {name: galera-writer, resources: [{name: address, vip: {address: 10.0.0.30/24}}]}
  - {name: ovn, resources: [{name: address, vip: {address: 10.0.0.33/24}}]}
"""
ROUTING = Routing(frozenset({"n1", "n2", "n3"}), owners={"galera-writer": "n2", "ovn": "n1"})

needs_haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")


def rendered(spec: ClusterSpec, run_dir: Path) -> str:
    return render(spec, ROUTING, "n1", HaproxySettings(str(run_dir)))


def with_preset(name: str) -> ClusterSpec:
    return parse_cluster(f"{HEAD}services: [{{preset: {name}, binds: [10.0.0.30, 'fd00::30']}}]\n")


def section(text: str, name: str) -> str:
    """The service's part of the file."""
    begin = text.index(f"listen {name} ")
    end = text.find("\n\n", begin)
    return text[begin : None if end < 0 else end].rstrip() + "\n"


def complaints(text: str, place: Path) -> str:
    """What HAProxy has against the file; its warnings, too."""
    (place / "haproxy.health").write_text("1\n")
    file = place / "haproxy.cfg"
    file.write_text(text)
    argv = [find_haproxy("haproxy"), "-c", "-f", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "ALERT" in line or "WARNING" in line]
    return "\n".join(said) or ("" if done.returncode == 0 else done.stderr)


@pytest.mark.parametrize("name", KINDS)
def test_as_it_is_written(name: str) -> None:
    found, file = section(rendered(with_preset(name), Path("/run/hactl/haproxy")), name), HERE / f"{name}.cfg"
    if os.environ.get("HACTL_UPDATE_GOLDEN"):
        file.write_text(found)
    assert found == file.read_text()


@needs_haproxy
@pytest.mark.parametrize("name", SERVICES)
def test_haproxy_takes_it(name: str, tmp_path: Path) -> None:
    assert complaints(rendered(with_preset(name), tmp_path), tmp_path) == ""


@needs_haproxy
def test_haproxy_takes_all_of_them_together(tmp_path: Path) -> None:
    listed = "".join(f"  - {{preset: {name}, binds: [10.0.0.{40 + i}]}}\n" for i, name in enumerate(SERVICES))
    assert complaints(rendered(parse_cluster(f"{HEAD}services:\n{listed}"), tmp_path), tmp_path) == ""


@needs_haproxy
@pytest.mark.parametrize("name", ["openstack", "kubernetes"])
def test_the_examples(name: str, tmp_path: Path) -> None:
    """Without a complaint of ours or HAProxy's, but for the files that are not on this machine."""
    text = (EXAMPLES / f"{name}.yaml").read_text()
    loaded = check_text(text, f"{name}.yaml")
    assert loaded.warnings == ()
    certificate = tmp_path / "cloud.pem"
    write_certificate(certificate)
    config = rendered(loaded.spec, tmp_path).replace(CERTIFICATE, str(certificate))
    assert complaints(config, tmp_path) == ""
