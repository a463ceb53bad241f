"""HAProxy accepts all that the schema accepts: services with settings of any kind, made from the schema itself.

Texts that are put in word for word (`words`, lines, expressions, ciphers) have a few samples: they are HAProxy's
language, which the schema does not know.
"""

from __future__ import annotations

import json
import re
import shutil
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hactl.config.document import document, parse_document
from hactl.config.errors import ConfigErrors
from hactl.config.load import parse_cluster
from hactl.config.services.haproxy import Defaults, Haproxy
from hactl.config.services.parts import Bind
from hactl.config.services.service import Service
from hactl.config.translate import known_models
from hactl.haproxy.render.document import render
from hactl.haproxy.routing import Routing
from hactl.model.cluster import ClusterSpec
from tests.support.haproxy_accepts import SETTINGS, make_tls_files, objections

NODES = [{"name": f"n{number}", "address": f"10.0.0.1{number}"} for number in (1, 2, 3)]
GROUP = {"name": "writer", "fencing": "required", "resources": [{"name": "u", "systemd": {"unit": "a.service"}}]}
DURATIONS = ["1ms", "250ms", "1s", "90s", "10m", "24h"]

# HAProxy's own language, files and names: samples by the setting's name, or by its model and name.
PEM, CA = "/TLS/api.pem", "/TLS/ca.pem"
SAMPLES: dict[str, list[Any]] = {
    "name": ["a"],
    "nodes": [[], ["n1"], ["n3", "n2"]],
    "Service.group": ["", "writer"],
    "node": ["", "n2"],
    "Service.defaults": ["", "old", "bare"],
    "preset": ["", "keystone"],
    "default_backend": [""],
    "use_backend": [[]],
    "Service.binds": [[]],
    "userlist": ["", "people"],
    "words": [""],
    "extra": [[], ["option splice-auto", ""]],
    "extra_frontend": [[], ["option contstats"]],
    "acls": [[], ["inside src 10.0.0.0/8", "other dst_port 80"]],
    "tcp_request": [[], ["inspect-delay 5s", "content accept if { src 10.0.0.1 }"]],
    "http_request": [[], ["deny if { path /a }", 'set-header X "a b"']],
    "http_response": [[], ["del-header Server"]],
    "hash_type": [None, "consistent", "map-based sdbm avalanche"],
    "log": [[], ["global"], ["10.0.0.9:514 local0 info"]],
    "log_format": [None, '"%ci:%cp %b/%s"'],
    "balance_by": ["", "2", "userid"],
    "certificates": [[], [PEM], [PEM, "/TLS/more"]],
    "certificate": ["", PEM],
    "crt_list": ["", "/TLS/list"],
    "ca_file": ["", CA],
    "alpn": ["", "h2,http/1.1"],
    "ciphers": ["", "ECDHE-RSA-AES128-GCM-SHA256"],
    "ciphersuites": ["", "TLS_AES_128_GCM_SHA256"],
    "verify_host": ["", "api.example.org"],
    "sni": ["", "str(api.example.org)"],
    "Check.sni": ["", "api.example.org"],
    "lines": [[]],
    "address": ["10.0.0.41", "fd00::41"],
    "Check.address": ["", "10.0.0.99"],
    "on": ["src"],
    "type": ["ip", "ipv6", "string len 20"],
    "sections": [[], ["backend raw from hactl\n    server a 10.0.0.77:80"]],
    "extra_global": [[], ["tune.bufsize 32768"]],
    "extra_defaults": [[], ["option splice-auto"]],
    "user": ["", "haproxy"],
    "Haproxy.defaults": [{}],
    "Haproxy.group": ["", "haproxy"],
    "Haproxy.log": [[], ["/dev/log local0 info"]],
    "Haproxy.userlists": [{}],
    "path": ["/", "/a#b", "/a'b\"c\\d", "/%20?x=y"],
    "uri": ["/haproxy"],
    "http": [None, "/healthcheck"],
    "host": ["", "api.example.org"],
    "method": ["GET", "HEAD", "OPTIONS"],
    "send": ["", "state", r"a b#\n"],
    "expect_status": ["", "200", "200-399"],
    "size": ["100", "1m"],
    "bind": [""],
    "ListedServer.cookie": ["", "a"],
    "Cookie.name": ["SERVERID", "JSESSIONID"],
    "Service.servers": [[], [{"name": "x", "address": "fd00::1", "port": 80}, {"name": "y", "address": "/run/y"}]],
    "Service.probe": [None],
}  # fmt: skip


def of_model(model: type[BaseModel], *skip: str) -> st.SearchStrategy[dict[str, Any]]:
    """Any of its settings, each given or not."""
    known = {name: of_field(model, name, info) for name, info in model.model_fields.items() if name not in skip}
    required = {name for name, info in model.model_fields.items() if info.is_required()}
    few = {name: strategy for name, strategy in known.items() if name not in required}
    return st.fixed_dictionaries({name: known[name] for name in known if name in required}, optional=few)


def of_field(model: type[BaseModel], name: str, info: FieldInfo) -> st.SearchStrategy[Any]:
    samples = SAMPLES.get(f"{model.__name__}.{name}", SAMPLES.get(name))
    if samples is not None and (f"{model.__name__}.{name}" in SAMPLES or not _models(info.annotation)):
        return st.sampled_from(samples)
    bounds = {type(bound).__name__: bound for bound in info.metadata}
    return of_type(info.annotation, str(info), bounds)


def _models(annotation: Any) -> bool:
    return any(known_models(annotation))


def of_type(annotation: Any, shown: str, bounds: dict[str, Any]) -> st.SearchStrategy[Any]:
    origin, inside = get_origin(annotation), get_args(annotation)
    if "WithJsonSchema" in shown and not _models(annotation):
        return st.sampled_from(DURATIONS)
    if origin in (Union, types.UnionType):
        return st.one_of(of_type(kind, "", bounds) if kind is not type(None) else st.none() for kind in inside)
    if origin is Literal:
        return st.sampled_from(inside)
    if origin is list:
        return st.lists(of_type(inside[0], "", {}), max_size=2)
    if annotation is bool:
        return st.booleans()
    if annotation is int or int in inside:
        low = bounds["Ge"].ge if "Ge" in bounds else 1
        high = bounds["Le"].le if "Le" in bounds else 5000
        return st.integers(low, high)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return of_model(annotation)
    raise AssertionError(f"no sample for {annotation} {shown}")


BIND = of_model(Bind, "address")
SERVICE = of_model(Service, "name", "kind")
HAPROXY, DEFAULTS = of_model(Haproxy), of_model(Defaults)


@st.composite
def clusters(draw: st.DrawFn) -> dict[str, Any]:
    services = []
    for number in range(draw(st.integers(1, 6))):
        service = draw(SERVICE)
        service |= {"name": f"s{number}", "kind": draw(st.sampled_from(["listen", "split", "frontend", "backend"]))}
        service["port"] = 8000 + number
        if service["kind"] != "backend":
            bind = draw(BIND) | {"address": draw(st.sampled_from(["10.0.0.30", "[fd00::30]"])) + f":{1000 + number}"}
            service["binds"] = [bind]
        if service["kind"] == "frontend":
            service["default_backend"] = "raw"
        services.append(service)
    haproxy = draw(HAPROXY)
    haproxy["sections"] = ["backend raw from hactl\n    mode http"]
    haproxy["defaults"] = {"old": draw(DEFAULTS), "bare": {}}
    haproxy["userlists"] = {
        "people": [{"name": "a", "password": "$5$saltsalt$wIyVHvTcC1lRRyCzEiIc/.kDwHYnSMfOKyVOAcYAWY3"}]
    }
    return {"cluster": "any", "nodes": NODES, "groups": [GROUP], "services": services, "haproxy": haproxy}


def accepted_by_the_schema(data: dict[str, Any]) -> ClusterSpec | None:
    """The cluster without the parts that the schema refuses."""
    for _ in range(20):
        try:
            return parse_cluster(json.dumps(data))
        except ConfigErrors as error:
            paths = [problem.path for problem in error.problems]
        bad = {int(match[1]) for path in paths if (match := re.match(r"services\[(\d+)\]", path))}
        for path in paths if not bad else ():
            _drop(data, path)
        data["services"] = [service for index, service in enumerate(data["services"]) if index not in bad]
    return None


def _drop(data: dict[str, Any], path: str) -> None:
    """Remove the value at `path`; of a set of defaults, the whole set."""
    *parents, last = re.sub(r"\[\d+\]", "", path).split(".")
    for step in parents:
        data = data.get(step, {})
    if last in ("old", "bare"):
        data[last] = {}
    else:
        data.pop(last, None)


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tls_files(tmp_path_factory.mktemp("tls"))


@pytest.mark.skipif(not shutil.which("haproxy"), reason="needs haproxy")
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(data=clusters())
def test_haproxy_accepts_all_that_the_schema_accepts(data: dict[str, Any], tmp_path: Path, tls_files: Path) -> None:
    spec = accepted_by_the_schema(data)
    if spec is None:
        return
    assert parse_document(document(spec)) == spec
    text = render(spec, Routing(frozenset({"n1"}), frozenset({("*", "n2")}), {"writer": "n3"}), "n1", SETTINGS)
    text = text.replace("/TLS", str(tls_files))
    note(json.dumps(data["services"]))
    note(text)
    assert [objection for objection in objections(text, tmp_path) if "[ALERT]" in objection] == []
