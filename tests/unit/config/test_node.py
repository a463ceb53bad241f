"""node.toml: defaults, errors with lines, and that reading it stays light."""

from __future__ import annotations

from pathlib import Path

import pytest

from hactl.config.errors import ConfigErrors
from hactl.config.node import load_node, parse_node

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        parse_node(text)
    return [str(problem) for problem in caught.value.problems]


def test_defaults() -> None:
    config = parse_node('cluster = "demo"\nnode = "n1"\nrun_dir = "/run/x/"\n')
    assert (config.cluster, config.node, config.endpoints) == ("demo", "n1", ("http://127.0.0.1:2379",))
    assert (config.api_socket, config.haproxy_dir) == ("/run/x/hactl.sock", "/run/x/haproxy")
    assert (config.on_sigterm, config.self_fence) == ("keep", ("reboot",))
    assert parse_node('cluster = "demo"\nnode = "n1"\nhaproxy_dir = "/run/h"\n').haproxy_dir == "/run/h"


def test_example_is_sound() -> None:
    assert load_node(EXAMPLES / "node.toml").etcd_key == "/etc/hactl/etcd-client.key"


def test_self_fence_by_a_command() -> None:
    config = parse_node('cluster = "demo"\nnode = "n"\nself_fence = ["command", "/bin/x", "-y"]\n')
    assert config.self_fence == ("command", "/bin/x", "-y")
    assert parse_node('cluster = "demo"\nnode = "n"\nself_fence = "watchdog"\n').self_fence == ("watchdog",)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('nodename = "n1"', "nodename: unknown key; did you mean `node`?"),
        ("node = 5", "node: is 5; must be text, in quotes"),
        ('node = "a/b"', "node: `a/b` is no name"),
        (
            'endpoints = "http://a:1"',
            "endpoints: is 'http://a:1', and must be a list of URLs; such as `endpoints = [\"",
        ),
        ('endpoints = ["a:1"]', "endpoints: `a:1` is no URL with a port"),
        ('endpoints = ["http://a:1", "http://a:1"]', "is there twice"),
        ('etcd_member_certs = "/s.pem"', "etcd_member_certs: is '/s.pem', and must be a list of paths"),
        ('etcd_member_certs = ["s.pem"]', "etcd_member_certs: `s.pem` is no absolute path"),
        ('endpoints = ["https://a:1"]', "endpoints: https:// needs `etcd_ca`"),
        ('etcd_ca = "/ca.pem"', "etcd_ca: is given, so every endpoint must begin with https://"),
        ('etcd_user = "u"', "etcd_user: is given without `etcd_password_file`"),
        ('etcd_key = "/k"', "etcd_key: is given without `etcd_cert`"),
        ('state_dir = "var"', "state_dir: `var` is no absolute path; begin it with `/`"),
        (f'run_dir = "/{"x" * 90}"', "run_dir: has 91 bytes, too many for the path of a socket"),
        ('metrics_listen = "9664"', "metrics_listen: `9664` is no address with port"),
        ('on_sigterm = "relase"', "on_sigterm: is 'relase'; did you mean `release`? allowed: release, keep"),
        ('self_fence = "off"', 'self_fence: is \'off\'; write "reboot", "watchdog", or ["command", "/path'),
        ("accept_insecure_etcd = 1", "accept_insecure_etcd: is 1; write true or false, without quotes"),
        ("guard_port = 0", "guard_port: is 0; must be a port's number, 1 to 65535, without quotes"),
        ('guard_port = "9665"', "guard_port: is '9665'; must be a port's number"),
        ("[metrics]\nlisten = 1", "metrics: unknown key; did you mean `metrics_listen`?"),
    ],
)
def test_refused(line: str, says: str) -> None:
    node = "" if line.startswith("node =") else 'node = "n"\n'
    refused = problems(f'cluster = "demo"\n{node}# a comment\n{line}\n')
    assert len(refused) == 1
    assert says in refused[0]
    if line.split(" ", maxsplit=1)[0].strip("[]\nlisten") in refused[0]:
        assert refused[0].startswith(f"node.toml:{len(node.splitlines()) + 3}:")


def test_every_problem_at_once_with_its_line() -> None:
    refused = problems('\nnode = 1\nstate_dir = "x"\nfoo = 2\n')
    assert [text.split(":")[1:4] for text in refused[1:]] == [
        ["2", "1", " node"],
        ["3", "1", " state_dir"],
        ["4", "1", " foo"],
    ]
    assert refused[0] == 'node.toml: cluster: is missing; such as `cluster = "demo"`'


def test_not_toml() -> None:
    assert problems('cluster = "a"\ncluster = "b"\n') == ["node.toml:2:14: is not TOML: Cannot overwrite a value"]


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"node\.toml: cannot be read: No such file or directory; write it"):
        load_node(tmp_path / "node.toml")
