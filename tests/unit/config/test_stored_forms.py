"""What hactl 0.1.0 wrote of `stored_forms/cluster.yaml`: the document in etcd, what the compiler gives the daemon, the
definitions of what was started. It is read, and written the same."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from hactl.config import compiled
from hactl.config.document import document, parse_document
from hactl.config.load import load_cluster
from hactl.daemon.parts.state_files import StateFiles
from hactl.model.resources import KINDS, SPECS, ResourceSpec, VipSpec
from hactl.model.service import ServiceOptions
from tests.support.specs import resource_spec

FORMS = Path(__file__).parent / "stored_forms"
STARTED = sorted(path.name.removeprefix("started-") for path in FORMS.glob("started-*.json"))


def text(name: str) -> str:
    return (FORMS / name).read_text().removesuffix("\n")


def test_the_forms_have_every_kind_and_every_setting_of_a_service() -> None:
    spec = load_cluster(FORMS / "cluster.yaml")
    assert {resource.kind for group in spec.groups for resource in group.resources} == set(KINDS) == set(SPECS)
    given = {name for service in spec.services for name in service.options.plain()}
    unused = {"hash_type", "idle_close_on_response", "forwardfor", "dontlognull", "all_backups", "detailed_log"}
    assert given == set(ServiceOptions.__struct_fields__) - unused - {"log_format", "tcp_request", "preset"}


def test_the_document_is_read_and_written_the_same() -> None:
    spec = load_cluster(FORMS / "cluster.yaml")
    assert document(spec) == text("document.json")
    assert parse_document(text("document.json")) == spec


def test_what_the_compiler_gives_the_daemon_is_read_and_written_the_same() -> None:
    spec = load_cluster(FORMS / "cluster.yaml")
    assert json.dumps(compiled.dump(spec)) == text("compiled.json")
    assert compiled.load(json.loads(text("compiled.json"))) == spec


def test_the_compiler_writes_that_form(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stored = {"format": 1, "serial": 3, "document": json.loads(text("document.json")), "by": "", "at": ""}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(stored)))
    compiled.main()
    assert capsys.readouterr().out == f'{{"spec": {text("compiled.json")}}}'


@pytest.mark.parametrize("name", STARTED)
def test_definitions_of_what_was_started_are_read_and_written_the_same(name: str, tmp_path: Path) -> None:
    disk, place = StateFiles(str(tmp_path), "boot"), tmp_path / "started" / name
    place.write_text(text(f"started-{name}"))
    (group,) = disk.leftovers()
    assert group == load_cluster(FORMS / "cluster.yaml").group(name.removesuffix(".json"))
    place.unlink()
    disk.keep_started(group)
    assert place.read_text() == text(f"started-{name}")


def test_of_a_later_version_a_definition_may_have_more() -> None:
    raw = {"name": "a", "kind": "vip", "options": {"address": "10.0.0.30/24", "later": 1}, "later": 2}
    assert msgspec.convert(raw, ResourceSpec) == resource_spec("a", "vip", {"address": "10.0.0.30/24"})


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no address": ({"kind": "vip", "options": {}}, "missing required field `address` - at `$.options`"),
    "a text": (
        {"kind": "exec", "options": {"command": "sleep 5"}},
        "got `str` - at `$.options.command`",
    ),
    "no word": ({"kind": "exec", "options": {"command": []}}, "`array` of length >= 1 - at `$.options.command`"),
    "a number": ({"kind": "exec", "options": {"kill": ["x", 9]}}, "Expected `str`, got `int` - at `$.options.kill[1]`"),
    "no unit": ({"kind": "systemd", "options": {"unit": ""}}, "`str` of length >= 1 - at `$.options.unit`"),
    "a word": ({"kind": "vip", "options": {"address": "a", "drain_ms": "3s"}}, "Expected `int`, got `str`"),
    "another kind": ({"kind": "pacemaker", "options": {}}, "Invalid value 'pacemaker' - at `$.kind`"),
}


@pytest.mark.parametrize(("raw", "says"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_its_type_is_refused_with_its_place(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert({"name": "a", **raw}, ResourceSpec)
    assert says in str(error.value)


def test_a_configuration_that_does_not_fit_says_where() -> None:
    raw = json.loads(text("compiled.json"))
    raw["groups"][0]["resources"][1]["options"]["interface"] = 7
    with pytest.raises(TypeError, match=r"at `\$\.groups\[0\]\.resources\[1\]\.options\.interface`"):
        compiled.load(raw)


def test_a_definition_that_does_not_fit_is_told_and_passed_over(tmp_path: Path) -> None:
    disk = StateFiles(str(tmp_path), "boot")
    (tmp_path / "started" / "a.json").write_text('{"name": "a", "resources": [{"name": "x", "kind": "vip"}]}')
    (tmp_path / "started" / "writer.json").write_text(text("started-writer.json"))
    with capture_logs() as logged:
        assert [group.name for group in disk.leftovers()] == ["writer"]
    (problem,) = [entry["problem"] for entry in logged if entry["event"] == "state_unreadable"]
    assert problem == "Object missing required field `options` - at `$.resources[0]`"


def test_defaults_of_a_resource_are_those_of_its_type() -> None:
    raw: dict[str, Any] = {"name": "a", "kind": "vip", "options": {"address": "10.0.0.30/24"}}
    vip = msgspec.convert(raw, ResourceSpec)
    assert isinstance(vip, VipSpec)
    assert (vip.options.announce_burst, vip.options.interface, vip.stop_timeout_ms) == (5, None, 30_000)
