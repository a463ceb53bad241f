"""Hooks in cluster.yaml: every mistake at once, with its place and a fix; stored, and read the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hactl.admin.config import check_file
from hactl.config import compiled
from hactl.config.diff import diff
from hactl.config.document import document, parse_document
from hactl.config.errors import ConfigErrors
from hactl.config.load import check_text
from hactl.model.cluster import ClusterSpec

HEAD = """\
cluster: demo
nodes: [{name: n1, address: 10.0.0.11}, {name: n2, address: 10.0.0.12}, {name: n3, address: 10.0.0.13}]
groups: [{name: db, resources: [{name: a, exec: {command: [/bin/sleep, infinity]}}]}]
"""
GOOD = """\
hooks:
  - {name: a, on: [failover, "fence_*", severity>=warning], command: [/bin/true, x], groups: [db], user: root}
  - name: b
    on: ["*"]
    webhook: {url: "https://chat.example.com/x?y=1", ca: /a, token_file: /b, body: text}
    timeout: 3s
    retries: 0
    sender: all
  - {name: c, on: [hook_failed], webhook: {url_file: /c}}
"""


def spec(hooks: str) -> ClusterSpec:
    return check_text(HEAD + hooks, "cluster.yaml").spec


def problems(hook: str) -> list[str]:
    with pytest.raises(ConfigErrors) as refused:
        spec(f"hooks:\n  - {hook}\n")
    return [f"{problem.path}: {problem.problem}; {problem.hint}" for problem in refused.value.problems]


def test_all_settings() -> None:
    first, second, third = spec(GOOD).hooks
    assert (first.command, first.groups, first.user) == (("/bin/true", "x"), ("db",), "root")
    assert (first.timeout_ms, first.retries, first.sender) == (10_000, 5, "one")
    assert second.webhook is not None and (second.webhook.ca, second.webhook.body) == ("/a", "text")
    assert (second.timeout_ms, second.retries, second.sender, second.user) == (3000, 0, "all", "nobody")
    assert second.target == "https://chat.example.com" and third.target == "the URL in /c"


def test_stored_and_read_the_same() -> None:
    wanted = spec(GOOD)
    assert parse_document(document(wanted)) == wanted
    assert compiled.load(json.loads(json.dumps(compiled.dump(wanted)))) == wanted
    assert "hooks" not in json.loads(document(spec(""))) and "hooks" not in compiled.dump(spec(""))


def test_changes_are_shown_by_name() -> None:
    changed = GOOD.replace("timeout: 3s", "timeout: 4s").replace(
        "  - {name: c, on: [hook_failed], webhook: {url_file: /c}}\n", ""
    )
    assert [str(change) for change in diff(spec(GOOD), spec(changed))] == [
        "~ hooks.b.timeout_ms: 3s -> 4s",
        "- hooks.c",
    ]


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ("{name: a, on: [failovr], command: [x]}", "on[0]: there is no event `failovr`; did you mean `failover`?"),
        ("{name: a, on: [xyz_*], command: [x]}", "on[0]: there is no event `xyz_*`; docs/events.md"),
        ("{name: a, on: ['severity > info'], command: [x]}", "names no event; write names of events"),
        ("{name: a, on: [severity>=warn], command: [x]}", "`warn` is no severity; did you mean `warning`?"),
        ("{name: a, on: [], command: [x]}", "on: is empty"),
        ("{name: a, on: failover, command: [x]}", "on: is \"failover\"; must be a list"),
        ("{name: a, on: [failover]}", "has neither of `command` and `webhook`"),
        ("{name: a, on: [failover], command: [x], webhook: {url: 'http://a'}}", "has both of `command` and `webhook`"),
        ("{name: a, on: [failover], command: notify me}", "write the words as a list: [\"notify\", \"me\"]"),
        ("{name: a, on: [failover], webhook: {}}", "has neither of `url` and `url_file`"),
        ("{name: a, on: [failover], webhook: {url: ftp://a}}", "`ftp://a` is no URL for a webhook; such as https://"),
        ("{name: a, on: [failover], webhook: {url: 'https://a b'}}", "is no URL for a webhook"),
        ("{name: a, on: [failover], webhook: {url: 'https://a:99999/'}}", "is no URL for a webhook"),
        ("{name: a, on: [failover], webhook: {url: 'https://u:p@a/'}}", "has a user or password in it; give"),
        ("{name: a, on: [failover], webhook: {url: 'https://a', token_file: tok}}", "`tok` is no absolute path"),
        ("{name: a, on: [failover], command: [x], groups: [dbb]}", "`dbb` is no group of this cluster; did you mean"),
        ("{name: a, on: [failover], command: [x], user: 'a b'}", "`a b` is no user's name"),
        ("{name: a, on: [failover], command: [x], timeout: 10m}", "is longer than 5 minutes"),
        ("{name: a, on: [failover], command: [x], retries: 21}", "retries: is 21; give 20 or less"),
        ("{name: a, on: [failover], command: [x], sender: any}", "sender: is \"any\"; allowed: one, owner, all"),
        ("{name: a, on: [failover], comand: [x]}", "comand: unknown key; did you mean `command`?"),
    ],
)  # fmt: skip
def test_a_mistake(hook: str, words: str) -> None:
    found = problems(hook)
    assert any(words in problem for problem in found), found


def test_all_mistakes_at_once() -> None:
    text = "{name: a, on: [failovr, xyz], command: [x], groups: [no], timeout: 10m}\n  - {name: a, on: [failover]}"
    assert len(problems(text)) == 6


def test_a_node_of_an_earlier_version_reads_events_that_it_does_not_know() -> None:
    stored = json.loads(document(spec(GOOD)))
    stored["hooks"][0]["on"] = ["an_event_of_a_later_version"]
    raw = {"format": 1, "serial": 1, "document": stored, "by": "", "at": ""}
    from hactl.config.document import read_stored

    assert read_stored(json.dumps(raw), checked=False).spec.hooks[0].on == ("an_event_of_a_later_version",)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    made = {}
    for name, mode in (("open", 0o644), ("private", 0o600), ("plain", 0o644)):
        path = tmp_path / name
        path.write_text("x")
        path.chmod(mode)
        made[name] = str(path)
    return {**made, "none": str(tmp_path / "none"), "directory": str(tmp_path)}


def here(tmp_path: Path, hook: str, node: str = "n1") -> tuple[bool, list[str]]:
    file = tmp_path / "cluster.yaml"
    file.write_text(f"{HEAD}hooks:\n  - {hook}\n")
    report = check_file(file, node=node)
    return report.ok, [line for line in report.lines if ".hooks" in line or "hooks[" in line]


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ("command: [{plain}]", "command: not an executable file: {plain}; `chmod +x {plain}`"),
        ("command: [{none}]", "command: command not found: {none}; install it on every node"),
        ("command: [no-such-command]", "command: command not found: no-such-command"),
        ("command: [/bin/true], user: no-such-user", "user: there is no user `no-such-user` here; `useradd --system"),
        ("webhook: {{url: 'https://a', token_file: {open}}}", "token_file: others may read {open} (mode 0644); `chmod"),
        ("webhook: {{url_file: {none}}}", "url_file: {none}: No such file or directory; put it there on every node"),
        ("webhook: {{url: 'https://a', ca: {directory}}}", "ca: {directory} is no file"),
    ],
)
def test_what_is_wrong_on_this_node(tmp_path: Path, files: dict[str, str], hook: str, words: str) -> None:
    text = f"{{name: a, on: [failover], {hook.format(**files)}}}"
    ok, lines = here(tmp_path, text)
    assert not ok and len(lines) == 1 and words.format(**files) in lines[0] and lines[0].startswith("error")
    ok, lines = here(tmp_path, text, node="")  # a machine that is no node: it may be well on the nodes
    assert ok and len(lines) == 1 and lines[0].startswith("warning")


@pytest.mark.parametrize(
    "hook",
    ["command: [/bin/true]", "webhook: {{url: 'https://a', token_file: {private}, ca: {open}}}"],
)
def test_what_is_well(tmp_path: Path, files: dict[str, str], hook: str) -> None:
    assert here(tmp_path, f"{{name: a, on: [failover], {hook.format(**files)}}}") == (True, [])


def test_doubts(tmp_path: Path, files: dict[str, str]) -> None:
    script = Path(files["plain"])
    script.chmod(0o777)
    ok, lines = here(tmp_path, f"{{name: a, on: [failover], command: [{script}], user: root}}")
    assert ok and any("others may change" in line for line in lines)
    ok, lines = here(
        tmp_path, f"{{name: a, on: [failover], webhook: {{url: 'http://a', token_file: {files['private']}}}}}"
    )
    assert ok and any("its token is sent over http" in line for line in lines)


def test_the_settings_of_the_page(tmp_path: Path) -> None:
    """The examples of docs/hooks.md are good."""
    page = (Path(__file__).parents[3] / "docs" / "hooks.md").read_text()
    examples: list[str] = page.split("```yaml\n")[1:]
    assert len(examples) >= 3
    for block in examples:
        assert spec(block.partition("```")[0]).hooks
