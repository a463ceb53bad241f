"""Presets: the data, what becomes of `preset: NAME` in a cluster.yaml, and where errors are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from hactl.cli.output import WIDEST
from hactl.config.document import document, parse_document
from hactl.config.load import parse_cluster
from hactl.config.presets import KINDS, Preset, all_names, find, presets, show
from hactl.config.presets.expand import merged, resolved
from hactl.model.cluster import ClusterSpec
from hactl.model.service import ServiceSpec
from tests.support.cluster_text import problems
from tools.docs import presets as presets_page

NODES = "cluster: demo\nnodes: [{name: n1, address: 10.0.0.11}, {name: n2, address: 10.0.0.12}]\n"
VIP = "{resources: [{name: address, vip: {address: 10.0.0.30/24}}], "
GROUPS = f"groups:\n  - {VIP}name: galera-writer}}\n"
OVN = GROUPS + f"  - {VIP.replace('.30/', '.33/')}name: ovn}}\n"

# The catalogue of services, whose every entry is here under one name or another.
CATALOGUE = [
    "keystone", "keystone-admin", "glance", "nova-api", "nova-metadata", "novnc", "spice", "serial", "placement",
    "neutron", "cinder-api", "heat", "heat-cfn", "horizon", "octavia", "barbican", "designate", "magnum", "manila",
    "aodh", "gnocchi", "trove", "masakari", "mistral", "ironic", "swift", "rgw", "mariadb", "redis", "etcd",
    "ovn-nb", "ovn-sb", "kube-apiserver", "kube-scheduler", "kube-controller-manager", "rabbitmq", "memcached",
    "mongodb", "nova-scheduler", "cinder-scheduler", "nova-conductor", "ceilometer-central", "mariadb-alone",
    "cinder-volume", "cinder-backup", "manila-share", "ceph-nfs", "nova-compute-vsphere", "neutron-dhcp-agent",
    "neutron-l3-agent", "image-store",
]  # fmt: skip

OF_KIND = {kind: [name for name, preset in presets().items() if preset.kind == kind] for kind in KINDS}


def cluster(services: str, groups: str = OVN) -> ClusterSpec:
    return parse_cluster(f"{NODES}{groups}services:\n{services}")


def service(text: str) -> ServiceSpec:
    return cluster(f"  - {text}\n").services[0]


def options(text: str) -> dict[str, Any]:
    return service(text).options.plain()


# --- the data -------------------------------------------------------------------------------------------------------


def test_the_whole_catalogue_is_here() -> None:
    assert [name for name in CATALOGUE if find(name) is None] == []
    assert len(all_names()) == len(set(all_names()))


@pytest.mark.parametrize("name", OF_KIND["service"])
def test_a_service_needs_only_its_addresses(name: str) -> None:
    spec = service(f"{{preset: {name}, binds: [10.0.0.30, 'fd00::30']}}")
    preset = presets()[name]
    port = preset.accepts or preset.settings["port"]
    assert (spec.name, spec.port) == (name, preset.settings["port"])
    assert spec.binds == (f"10.0.0.30:{port}", f"[fd00::30]:{port}")
    assert spec.options.preset == name


@pytest.mark.parametrize("name", OF_KIND["group"])
def test_a_group_needs_only_its_name(name: str) -> None:
    spec = cluster(
        "  []\n".replace("  []", "  - {name: x, binds: ['10.0.0.11:80'], port: 81}"), f"groups: [{{preset: {name}}}]\n"
    )
    assert spec.groups[0].name == name


@pytest.mark.parametrize("name", [name for name, preset in presets().items() if preset.example])
def test_examples_are_sound(name: str) -> None:
    assert parse_cluster(NODES + presets()[name].example).groups


@pytest.mark.parametrize("name", [*OF_KIND["service"], *OF_KIND["group"]])
def test_each_setting_has_its_reason(name: str) -> None:
    """In a comment at its line or before it; port, mode and what is within a setting explain themselves."""
    lines = presets()[name].text.splitlines()
    for index, line in enumerate(lines):
        obvious = line.startswith((" ", "#", "port:", "mode:", "resources:", "check:", "-"))
        assert obvious or "#" in line or lines[index - 1].lstrip().startswith("#"), line


def test_a_preset_without_settings_says_what_to_do() -> None:
    for name in OF_KIND["advice"]:
        assert presets()[name].reason
        assert presets()[name].instead


# --- over a preset --------------------------------------------------------------------------------------------------


def test_one_key_of_a_mapping_is_changed() -> None:
    plain, changed = (options(f"{{preset: glance, binds: [10.0.0.30]{more}}}") for more in ("", ", check: {inter: 2s}"))
    assert changed["check"] == {**plain["check"], "inter_ms": 2000}
    assert {**changed, "check": 0} == {**plain, "check": 0}


def test_a_list_replaces() -> None:
    settings = options("{preset: ironic-public, binds: [10.0.0.30], http_request: [allow]}")
    assert (list(settings["http_request"]), list(settings["acls"])) == (
        ["allow"],
        ["agent path_beg /v1/lookup /v1/heartbeat"],
    )


def test_an_empty_key_takes_away() -> None:
    settings = options("{preset: horizon, binds: [10.0.0.30], cookie: , timeouts: {client: }}")
    assert settings.get("cookie") is None
    assert "client_ms" not in {name for name, value in settings["timeouts"].items() if value is not None}
    assert settings["timeouts"]["server_ms"] == 180_000


@pytest.mark.parametrize("check", ["{kind: tcp}", "tcp"])
def test_a_check_of_another_kind_keeps_the_times_only(check: str) -> None:
    settings = options(f"{{preset: kube-apiserver, binds: [10.0.0.30], check: {check}}}")["check"]
    assert {name: settings.get(name) for name in ("kind", "inter_ms", "fall")} == {
        "kind": "tcp",
        "inter_ms": 2000,
        "fall": 4,
    }
    assert settings.get("tls") is None
    assert settings.get("path", "/") == "/"


def test_the_short_form_of_a_check_is_over_kind_and_path() -> None:
    settings = options("{preset: mariadb, binds: [10.0.0.30], check: {http: /master}}")["check"]
    assert (settings["kind"], settings["path"], settings["port"]) == ("http", "/master", 9200)
    assert options("{preset: glance, binds: [10.0.0.30], check: {http: /live}}")["check"]["path"] == "/live"
    settings = options("{preset: redis, binds: [10.0.0.30], check: {http: /live, port: 9121}}")["check"]
    assert (settings["kind"], settings["path"], settings["port"], settings.get("role", "")) == (
        "http",
        "/live",
        9121,
        "",
    )


def test_a_name_and_a_port_of_ones_own() -> None:
    spec = service("{preset: placement, name: place, port: 8780, binds: [10.0.0.30, '10.0.0.31:80']}")
    assert (spec.name, spec.port) == ("place", 8780)
    assert spec.binds == ("10.0.0.30:8780", "10.0.0.31:80")
    assert service("{preset: kube-apiserver, binds: ['*']}").binds == ("*:8443",)
    assert service("{preset: keystone, port: 0, binds: [10.0.0.30], check: {port: 1}}").binds == ("10.0.0.30:5000",)


def test_an_address_in_a_mapping_gets_the_port() -> None:
    tls = "{address: fd00::30, tls: {certificates: [/etc/x.pem]}}"
    assert service(f"{{preset: keystone, binds: [{tls}]}}").binds == ("[fd00::30]:5000",)


def test_resources_are_matched_by_name() -> None:
    """The file's come first, with the preset's settings under them; then what else the preset has."""
    address = "{name: address, vip: {address: 10.0.0.40/24}}"
    alone = f"  - {{preset: mariadb-alone, resources: [{address}]}}\n"
    changed = "  - {preset: cinder-volume, resources: [{name: cinder-volume, systemd: {unit: x.service}}]}\n"
    named = "  - {preset: galera-writer, resources: [{name: in-sync, start_timeout: 9s, exec: {ready: [/bin/true]}}]}\n"
    first, second, third = parse_cluster(f"{NODES}groups:\n{alone}{changed}{named}").groups
    assert [resource.name for resource in first.resources] == ["address", "mariadb"]
    assert first.resources[1].start_timeout_ms == 120_000
    assert first.fencing == "required"
    assert [resource.options.unit for resource in second.resources] == ["x.service"]
    (writer,) = third.resources
    assert (writer.start_timeout_ms, writer.monitor_interval_ms) == (9_000, 2_000)
    assert (writer.options.command, writer.options.ready) == (("/bin/sleep", "infinity"), ("/bin/true",))


def test_a_preset_of_a_group_on_every_node() -> None:
    text = f"{NODES}groups:\n  - preset: galera-nodes\n  - {{preset: galera-writer, together_with: [galera-nodes]}}\n"
    spec = parse_cluster(text + "services:\n  - {name: db, binds: ['10.0.0.11:1'], port: 3306, group: galera-nodes}\n")
    assert [(group.name, group.run) for group in spec.groups] == [("galera-nodes", "all"), ("galera-writer", "one")]
    assert parse_document(document(spec)) == spec
    assert spec.services[0].follows == "galera-nodes"


def test_merging_changes_neither_side() -> None:
    base, given = {"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"b": None, "e": 3}, "d": [4]}
    kept = json.dumps([base, given])
    assert merged(base, given) == {"a": {"c": [1], "e": 3}, "d": [4]}
    assert json.dumps([base, given]) == kept
    preset = presets()["horizon"]
    before = json.dumps(preset.settings)
    resolved(preset, {"preset": "horizon", "check": {"kind": "tcp"}, "cookie": {"name": "X"}, "binds": ["10.0.0.30"]})
    assert json.dumps(preset.settings) == before


def test_what_is_stored_is_resolved() -> None:
    spec = cluster("  - {preset: keystone, binds: [10.0.0.30], check: {inter: 2s}}\n")
    stored = json.loads(document(spec))["services"][0]
    assert stored["preset"] == "keystone"
    assert stored["binds"] in (["10.0.0.30:5000"], [{"address": "10.0.0.30:5000"}])
    assert parse_document(document(spec)) == spec


def test_no_preset_by_name() -> None:
    """As in what is stored of a service without one."""
    spec = service("{preset: '', name: x, binds: ['10.0.0.30:80'], port: 81}")
    assert (spec.name, spec.options.preset) == ("x", "")


def test_a_stored_preset_that_this_version_has_not_is_no_matter() -> None:
    spec = cluster("  - {preset: keystone, binds: [10.0.0.30]}\n")
    later = parse_document(document(spec).replace('"preset":"keystone"', '"preset":"of-tomorrow"'))
    assert later.services[0].port == 5000


# --- errors: what is wrong, at its place ----------------------------------------------------------------------------

CASES = {
    "unknown": ("{preset: keystonee, binds: [10.0.0.30]}", 14, "preset", "did you mean `keystone`?"),
    "nothing like it": ("{preset: zzz, binds: [10.0.0.30]}", 14, "preset", "`hactl preset list` shows them"),
    "no text": ("{preset: 7, binds: [10.0.0.30]}", 14, "preset", "`7` is no preset"),
    "advice": ("{preset: rabbitmq, binds: [10.0.0.30]}", 14, "preset", "transport_url"),
    "a group's": ("{preset: cinder-volume, binds: [10.0.0.30]}", 14, "preset", "put it below `groups`"),
    "over it": ("{preset: keystone, binds: [10.0.0.30], check: {inter: 2}}", 59, "check.inter", "has no unit"),
    "misspelt": (
        "{preset: keystone, binds: [10.0.0.30], check: {intre: 2s}}",
        52,
        "check.intre",
        "did you mean `inter`?",
    ),
    "of a type": ("{preset: keystone, binds: [10.0.0.30], timeouts: 3s}", 54, "timeouts", "mapping"),
    "a bind": ("{preset: keystone, binds: [10.0.0.30, ten]}", 43, "binds[1]", "`ten`"),
    "a port": ("{preset: keystone, binds: [10.0.0.30], port: five}", 50, "port", "whole number"),
    "no bind": ("{preset: keystone}", 5, "binds", "10.0.0.30"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_errors_are_at_the_place_in_the_file(case: tuple[str, int, str, str]) -> None:
    text, column, path, said = case
    refused = problems(f"{NODES}services:\n  - {text}\n")
    assert len(refused) == 1, refused
    assert (refused[0].place or (0, 0)) == (4, column)
    assert f"services[0].{path}".rstrip(".") == refused[0].path.removesuffix(".address")
    assert said in str(refused[0])


def test_a_writers_group_that_is_missing_has_a_preset() -> None:
    refused = problems(f"{NODES}services:\n  - {{preset: mariadb, binds: [10.0.0.30]}}\n")
    assert [(problem.path, problem.place) for problem in refused] == [("services[0].group", (4, 5))]
    assert refused[0].hint == "add `- {preset: galera-writer}` to `groups`"


def test_a_services_preset_on_a_group() -> None:
    refused = problems(f"{NODES}groups:\n  - {{preset: mariadb}}\nservices: []\n")
    assert [problem.path for problem in refused] == ["groups[0].preset"]
    assert "put it below `services`, or take `mariadb-alone`" in refused[0].hint


def test_a_wrong_resource_over_a_preset() -> None:
    text = (
        f"{NODES}groups:\n  - preset: cinder-volume\n    resources:\n      - {{name: cinder-volume, stop_timeout: 3}}\n"
    )
    refused = problems(text)
    assert [(problem.path, problem.place) for problem in refused] == [("groups[0].resources[0].stop_timeout", (6, 45))]


# --- for people -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*OF_KIND["service"], *OF_KIND["group"]])
def test_what_is_shown_is_the_resolved_yaml(name: str) -> None:
    preset = presets()[name]
    shown = YAML(typ="safe").load(show.shown(preset))
    given: dict[str, Any] = {"preset": name} | ({"binds": ["10.0.0.30"]} if preset.kind == "service" else {})
    wanted = resolved(preset, given)
    assert shown == {key: value for key, value in wanted.items() if key != "preset"}
    assert f"preset: {name}" in show.shown(preset)
    assert all(len(line) <= 120 for line in show.shown(preset).splitlines())


@pytest.mark.parametrize("name", OF_KIND["advice"])
def test_advice_is_shown(name: str) -> None:
    text = " ".join(line.removeprefix("# ") for line in show.shown(presets()[name]).splitlines())
    assert " ".join(presets()[name].reason.split()) in text


def test_page_is_up_to_date() -> None:
    page = (Path(__file__).parents[3] / presets_page.PAGE).read_text(encoding="utf-8")
    assert page == presets_page.page(), "run `python -m tools.docs.presets`"
    assert len(page) < WIDEST * 10


def test_the_check_in_few_words() -> None:
    made = Preset("x", "service", "x", {"check": {"kind": "http", "path": "/a", "port": 9200, "tls": True}})
    assert show.check_of(made) == "https /a on 9200"
