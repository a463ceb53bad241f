"""Services and HAProxy in cluster.yaml: what is read, what is kept, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from hactl.config.fields import Part
from hactl.config.load import check_text, parse_cluster
from hactl.config.resources.exec import Exec
from hactl.config.resources.haproxy import HaproxyInGroup
from hactl.config.resources.manifest import Manifest
from hactl.config.resources.systemd import Systemd
from hactl.config.resources.vip import Vip
from hactl.config.schema import Cluster
from hactl.config.services.common import Check
from hactl.config.services.haproxy import Haproxy
from hactl.config.services.service import Service
from hactl.config.translate import known_models
from hactl.model.haproxy import GlobalOptions
from hactl.model.service import ServiceOptions
from tests.support.cluster_text import problems

CLUSTER = """\
cluster: demo
nodes:
  - {name: n1, address: 10.0.0.11}
  - {name: n2, address: 10.0.0.12}
  - {name: n3, address: 10.0.0.13}
groups:
  - name: vip
    overlap: true
    resources:
      - {name: address, vip: {address: 10.0.0.30/24}}
  - name: writer
    fencing: required
    resources: [{name: unit, systemd: {unit: writer.service}}]
  - name: broker
    run: all
    nodes: [n1, n2]
    resources: [{name: rabbit, systemd: {unit: rabbitmq-server.service}}]
services:
"""
API = "  - {name: api, binds: ['10.0.0.30:80'], port: 8080%s}\n"
BACK = "  - {name: back, kind: backend, port: 8081%s}\n"
B = API.replace("api", "b")
FRONT = "  - {name: front, kind: frontend, binds: ['10.0.0.30:81']%s}\n"


def _parts(model: type[Any]) -> Iterator[type[Part]]:
    yield model
    for info in model.model_fields.values():
        for inner in known_models(info.annotation):
            yield from _parts(inner)


MODELS = sorted(
    {*_parts(Service), *_parts(Haproxy), Vip, Systemd, Exec, Manifest, HaproxyInGroup}, key=lambda model: model.__name__
)
# What cluster.yaml has there, and the model elsewhere or by another name; and what only the model has.
ELSEWHERE = {Service: {"name", "port"}, Check: {"http"}}
UNNAMED = {Systemd: {"bus"}}


@pytest.mark.parametrize("model", MODELS, ids=lambda each: each.__name__)
def test_settings_are_those_of_the_model(model: type[Part]) -> None:
    known = {name.removesuffix("_ms") for name in model.OF.__struct_fields__}
    assert set(model.model_fields) - ELSEWHERE.get(model, set()) == known - UNNAMED.get(model, set())


def test_defaults_are_those_of_the_model() -> None:
    spec = parse_cluster(CLUSTER + "  - {name: api, binds: ['10.0.0.30:80'], port: 8080}\n")
    (service,) = spec.services
    assert (service.options.plain(), spec.haproxy.plain()) == ({}, {})
    assert (service.options, service.port) == (ServiceOptions(), 8080)
    assert spec.haproxy == GlobalOptions()


# What is added to `api` above; where the problem is; what is said.
REFUSED_IN_A_SERVICE = {
    "bind": ("binds: ['10.0.0.30']", "services[0].binds[0]", "is no address with port; such as `10.0.0.30:5000`"),
    "range": ("binds: ['10.0.0.30:90-80']", "services[0].binds[0]", "is no address with port"),
    "name in bind": ("binds: ['vip:80']", "services[0].binds[0]", "is no address with port"),
    "check kind": ("check: htpp", "services[0].check", "is no kind of check; did you mean `http`?"),
    "check kinds": ("check: {http: /, kind: tcp}", "services[0].check", "has `http` and `kind: tcp`"),
    "clustercheck": (
        "check: {kind: mysql, port: 9200}",
        "services[0].check",
        "write `check: {kind: http, port: 9200}`",
    ),
    "pgsql": ("check: pgsql", "services[0].check", "without `user`; name a user"),
    "path of tcp": ("check: {path: /a, kind: tcp}", "services[0].check", "is of kind tcp and has `path`"),
    "role": ("check: {role: master}", "services[0].check", "write `kind: redis`"),
    "user": ("check: {user: a}", "services[0].check", "write `kind: mysql` or `kind: pgsql`"),
    "host of tcp": ("check: {host: a}", "services[0].check", "is of kind tcp and has `host`"),
    "lines of mysql": ("check: {kind: mysql, lines: [a]}", "services[0].check", "is of kind mysql and has `lines`"),
    "lines and host": ("check: {kind: http, lines: [a], host: b}", "services[0].check", "both `lines` and `host`"),
    "status": (
        "check: {kind: http, expect_status: ok}",
        "services[0].check.expect_status",
        "is no status; such as `200`",
    ),
    "section": ("extra: ['listen other']", "services[0].extra[0]", "begins a section; put whole sections"),
    "quoted section": ("""extra: ['"frontend" evil']""", "services[0].extra[0]", "begins a section; put whole"),
    "escaped section": (r"extra: ['fron\x74end evil']", "services[0].extra[0]", "begins a section; put whole"),
    "section in halves": ("""extra: ["front\'end\' evil"]""", "services[0].extra[0]", "begins a section; put whole"),
    "scope": ("extra: ['[here]']", "services[0].extra[0]", "begins a section; put whole"),
    "variable": ("""extra: ['"$X" evil']""", "services[0].extra[0]", "begins with a variable"),
    "half a quote": ("""http_request: ['deny if "x']""", "services[0].http_request[0]", 'a quote (") has no end'),
    "two lines": ('extra: ["a\\nb"]', "services[0].extra[0]", "has a line break"),
    "hdr": ("balance: hdr, mode: http", "services[0]", "without `balance_by`; say by which"),
    "uri's argument": (
        "balance: uri, balance_by: 2, mode: http".replace("2", "'2'"),
        "services[0]",
        "`uri` has `whole`",
    ),
    "balance_by": ("balance_by: x", "services[0]", "with `balance: roundrobin`; leave it out"),
    "tls": ("server: {tls: {}}", "services[0].server.tls", "without `ca_file`; name the file"),
    "bind tls": (
        "binds: [{address: '*:1', tls: {}}]",
        "services[0].binds[0].tls",
        "neither `certificates` nor `crt_list`",
    ),
    "verify": (
        "binds: [{address: '*:1', tls: {crt_list: /a, verify: required}}]",
        "services[0].binds[0].tls",
        "without `ca_file`",
    ),
    "stats": ("mode: http, stats: {admin: true}", "services[0].stats", "without `userlist`"),
    "writer alone": ("writer: elected", "services[0]", "add `group: NAME`: its owner is the writer"),
    "group alone": ("group: writer", "services[0].group", "add `writer: elected`: its owner is the only server"),
    "clone's name": ("group: brokr", "services[0].group", "did you mean `broker`?"),
    "clone as a writer": ("writer: elected, group: broker", "services[0].writer", "leave out `writer`: the servers"),
    "clone's nodes": (
        "group: broker, nodes: [n1, n3]",
        "services[0].group",
        "leave these out of `nodes` here, or add them to the group's `nodes`",
    ),
    "writer's group": ("writer: elected, group: writr", "services[0].group", "did you mean `writer`?"),
    "writer's servers": (
        "writer: elected, group: writer, nodes: [n1, n2]",
        "services[0].group",
        "can be owned by n3, which has no server here",
    ),
    "defaults": ("defaults: old", "services[0].defaults", "add it to `haproxy.defaults`"),
    "server twice": (
        "servers: [{name: a, address: a}, {name: a, address: b}]",
        "services[0].servers[1].name",
        "is there already",
    ),
    "server as node": ("servers: [{name: n1, address: a}]", "services[0].servers[0].name", "node `n1` is a server"),
    "server's port": (
        "servers: [{name: a, address: '10.0.0.9:80'}]",
        "services[0].servers[0].address",
        "which goes into `port`",
    ),
    "server's brackets": (
        "servers: [{name: a, address: '[fd00::9]'}]",
        "services[0].servers[0].address",
        "write `fd00::9`",
    ),
    "server's node": ("servers: [{name: a, address: a, node: n4}]", "services[0].servers[0].node", "no node of this"),
    "nodes of none": ("members: false, nodes: [n1]", "services[0].nodes", "leave out one of them"),
    "backend": ("default_backend: back", "services[0].default_backend", "there is no service `back`"),
    "userlist": ("mode: http, stats: {userlist: a}", "services[0].stats.userlist", "add it to `haproxy.userlists`"),
    "probe": ("probe: {kind: tcp, bind: '*:9'}", "services[0].probe.bind", "is none of `binds`"),
    "http": ("http_request: [deny]", "services[0].http_request", "is for `mode: http`, and the mode is tcp"),
    "cookie": ("cookie: {name: a}", "services[0].cookie", "give `mode: http`"),
    "uri": ("balance: uri", "services[0].balance", "give `mode: http`, or choose `source`"),
    "no port": ("port: 0", "services[0].check", "has no port to look at"),
    "server without port": (
        "port: 0, check: {}, members: false, servers: [{name: a, address: a}]",
        "services[0].servers[0]",
        "has no port that a check could look at",
    ),
    "backend's bind": ("kind: backend", "services[0]", "is of kind backend and has `binds`"),
    "frontend's cookie": ("kind: frontend, cookie: {name: a}", "services[0]", "is of kind frontend and has `cookie`"),
    "frontend's way": ("kind: frontend", "services[0]", "leads nowhere; give it a `default_backend`"),
    "reserved": ("name: hactl-exporter", "services[0].name", "call it otherwise"),
    "own listener": ("binds: ['*:8080']", "services[0].binds[0]", "which itself listens on 10.0.0.11:8080"),
    "own port": (
        "binds: ['*:8080'], port: 0, check: none",
        "services[0].binds[0]",
        "which itself listens on 10.0.0.11:8080",
    ),
    "range of own": ("binds: ['10.0.0.13:8000-8090']", "services[0].binds[0]", "10.0.0.13:8080 on n3"),
}


@pytest.mark.parametrize(("given", "path", "says"), REFUSED_IN_A_SERVICE.values(), ids=list(REFUSED_IN_A_SERVICE))
def test_refused_in_a_service(given: str, path: str, says: str) -> None:
    service = {"name": "api", "binds": ["10.0.0.30:80"], "port": 8080, **YAML(typ="safe").load(f"{{{given}}}")}
    text = "  - " + json.dumps(service)
    refused = problems(CLUSTER + text)
    assert [problem.path for problem in refused] == [path], "\n".join(map(str, refused))
    assert says in str(refused[0])
    assert refused[0].place is not None
    assert refused[0].hint


def warnings(text: str) -> list[str]:
    return [
        f"{warning.path}: {warning.problem}"
        for warning in check_text(CLUSTER + text, "f").warnings
        if "switch" not in warning.problem
    ]


def test_a_service_may_have_the_settings_of_the_other_side() -> None:
    text = FRONT % ", default_backend: back, balance: first, check: tcp" + BACK % ", maxconn: 5"
    assert warnings(text) == [
        "services[0].balance: `balance` is not used: service `front` is of kind frontend",
        "services[0].check: `check` is not used: service `front` is of kind frontend",
        "services[1].maxconn: `maxconn` is not used: service `back` is of kind backend",
    ]


def test_a_service_without_a_server() -> None:
    assert warnings(API % ", members: false") == ["services[0]: service `api` has no server"]


# Two services, and what is added to `haproxy`.
REFUSED_TOGETHER = {
    "range": (
        API % "" + B.replace(":80'", ":70-80'") % "",
        "services[1].binds[0]",
        "collides with",
    ),
    "wildcard": (
        (API + B).replace("10.0.0.30", "*") % ("", ""),
        "services[1].binds[0]",
        "collides with *:80: services[0].binds[0]",
    ),
    "split": (
        API % ", kind: split" + B.replace("name: b", "name: api-front").replace(":80", ":81") % "",
        "services[1].name",
        "is the frontend of service `api`",
    ),
    "use_backend": (
        FRONT % ", use_backend: ['bakc if TRUE']" + BACK % "",
        "services[0].use_backend[0]",
        "there is no service `bakc`; did you mean `back`?",
    ),
    "frontend as backend": (
        FRONT % ", default_backend: b" + FRONT.replace("front,", "b,").replace(":81", ":82") % ", extra: [a]",
        "services[0].default_backend",
        "is of kind frontend",
    ),
    "disabled": (
        FRONT % ", default_backend: back" + BACK % ", enabled: false",
        "services[0].default_backend",
        "has `enabled: false`",
    ),
    "modes": (
        FRONT % ", mode: http, default_backend: back" + BACK % "",
        "services[0].default_backend",
        "give both",
    ),
    "mode of defaults": (
        API % ", defaults: web, balance: uri"
        + B.replace(":80", ":81") % ", balance: uri"
        + "haproxy: {defaults: {web: {mode: http}}}",
        "services[1].balance",
        "is for `mode: http`",
    ),
    "defaults": (
        API % ", defaults: wbe" + "haproxy: {defaults: {web: {}}}",
        "services[0].defaults",
        "did you mean `web`?",
    ),
    "not taken back": (
        API % ", defaults: web, forwardfor: false" + "haproxy: {defaults: {web: {mode: http, forwardfor: true}}}",
        "services[0].forwardfor",
        "HAProxy cannot take it back; take it out of the set",
    ),
    "sessions not taken back": (
        API % ", defaults: web, server: {shutdown_sessions: false}"
        + "haproxy: {defaults: {web: {server: {shutdown_sessions: true}}}}",
        "services[0].server.shutdown_sessions",
        "HAProxy cannot take it back",
    ),
    "built-in": (API % "" + "haproxy: {defaults: {hactl: {}}}", "haproxy.defaults.hactl", "is the built-in set's name"),
    "in defaults": (
        API % "" + "haproxy: {defaults: {web: {blance: first}}}",
        "haproxy.defaults.web.blance",
        "unknown key; did you mean `balance`?",
    ),
    "password": (
        API % "" + "haproxy: {userlists: {a: [{name: b, password: secret}]}}",
        "haproxy.userlists.a[0].password",
        "make one with `openssl passwd -6`",
    ),
    "quoted sections": (
        API % "" + """haproxy: {sections: ["'backend' x"]}""",
        "haproxy.sections[0]",
        "begins a section, in quotes; write it without",
    ),
    "no section": (
        API % "" + "haproxy: {sections: ['mode tcp']}",
        "haproxy.sections[0]",
        "begin it with",
    ),
    "metrics": (API % "" + "haproxy: {exporter: {port: 8080}}", "haproxy.exporter.port", "10.0.0.11:8080 is taken"),
    "peers": (API % ", stick: {}" + "haproxy: {peers_port: 8080}", "haproxy.peers_port", "is taken: service `api`"),
    "both": (
        API % ", stick: {}" + "haproxy: {peers_port: 99, exporter: {port: 99}}",
        "haproxy.peers_port",
        "is the port of the metrics, too",
    ),
}


@pytest.mark.parametrize(("text", "path", "says"), REFUSED_TOGETHER.values(), ids=list(REFUSED_TOGETHER))
def test_refused_together(text: str, path: str, says: str) -> None:
    refused = problems(CLUSTER + text)
    assert [problem.path for problem in refused] == [path], "\n".join(map(str, refused))
    assert says in str(refused[0])
    assert refused[0].hint


def test_addresses_that_the_kernel_tells_apart_are_bound_by_one_and_by_several() -> None:
    both = API.replace("['10.0.0.30:80']", "['*:80', '[::]:80']") % "" + B % ""
    assert len(parse_cluster(CLUSTER + both).services) == 2


def test_mysql_without_a_user_may_shut_the_node_out() -> None:
    assert warnings(API % ", check: mysql") == [
        "services[0].check: is of kind mysql without `user`: MySQL may shut HAProxy's node out (`max_connect_errors`)"
    ]
    assert not warnings(API % ", check: {kind: mysql, user: haproxy}")


def test_raw_sections_can_be_led_to() -> None:
    sections = 'haproxy: {sections: ["backend old from hactl\\n    server a 10.0.0.9:80"]}'
    (service,) = parse_cluster(CLUSTER + FRONT % ", default_backend: old" + sections).services
    assert service.options.default_backend == "old"


def test_editors_know_the_short_forms() -> None:
    definitions = Cluster.model_json_schema()["$defs"]
    for name in ("Bind", "Check"):
        assert {"type": "string"} in definitions[name]["anyOf"]
