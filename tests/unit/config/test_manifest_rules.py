"""The settings of kind manifest: files, and the ways in which a pod is seen."""

from __future__ import annotations

import pytest

from hactl.config.document import document, parse_document
from hactl.config.errors import ConfigErrors
from hactl.config.load import check_text

CLUSTER = """cluster: c
nodes: [{name: n1, address: 10.0.0.11}, {name: n2, address: 10.0.0.12}]
groups:
  - name: g
    fencing: lease
    resources: [{name: pod, manifest: {MANIFEST}}]
"""


def text(manifest: str, fencing: str = "lease") -> str:
    return CLUSTER.replace("MANIFEST", manifest).replace("fencing: lease", f"fencing: {fencing}")


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        ("name: x", "has none of `source`, `sources` and `content`"),
        ("source: /a/x.yaml, content: y", "has several of `source`, `sources` and `content`"),
        ("sources: []", "is empty; give one at least"),
        ("sources: [/a/x.yaml, /b/x.yaml]", "has two files of one name"),
        ("sources: [/a/x.yaml], name: y.yaml", "has `sources` and `name`"),
        ("sources: [/a/x.yaml, /etc/kubernetes/manifests/y.yaml]", "it would run on every node"),
        ("source: /a/x.yaml, gone: {}", "says not how"),
        ("source: /a/x.yaml, gone: {process: x, kubelet: 'https://127.0.0.1:10250/pods'}", "begins with http://"),
        ("source: /a/x.yaml, gone: {kubelet: 'http://127.0.0.1:10255/pods'}", "takes the node down"),
        ("source: /a/x.yaml, gone: {command: [/bin/gone]}", "give `process: NAME`, too"),
    ],
)
def test_what_is_refused(manifest: str, why: str) -> None:
    with pytest.raises(ConfigErrors) as error:
        check_text(text(manifest), "f")
    words = str(error.value)
    assert why in words and "groups[0].resources[0].manifest" in words


def test_two_resources_with_one_file() -> None:
    both = text("sources: [/a/x.yaml, /a/y.yaml]").replace(
        "resources: [", "resources: [{name: other, manifest: {source: /b/y.yaml}}, "
    )
    with pytest.raises(ConfigErrors, match=r"file /etc/kubernetes/manifests/y\.yaml is there already"):
        check_text(both, "f")


def test_what_can_be_killed_needs_no_warning() -> None:
    assert check_text(text("source: /a/x.yaml, gone: {process: x}"), "f").warnings == ()
    (warning,) = check_text(text("source: /a/x.yaml"), "f").warnings
    assert "for so long it may run on two nodes" in str(warning)


def test_a_pod_gets_time_to_come_and_go() -> None:
    manifest = "sources: [/a/x.yaml], gone: {process: x, command: [/bin/gone]}, running: {process: x}"
    spec = check_text(text(manifest), "f").spec
    (resource,) = spec.groups[0].resources
    assert (resource.start_timeout_ms, resource.stop_timeout_ms) == (60_000, 60_000)
    assert parse_document(document(spec)) == spec
    (plain,) = check_text(text("source: /a/x.yaml"), "f").spec.groups[0].resources
    assert (plain.start_timeout_ms, plain.stop_timeout_ms) == (5_000, 30_000)
