"""Which users may look by the API, and which may change something; the user is recorded."""

from __future__ import annotations

import getpass
import json
import os
import stat
from pathlib import Path

import pytest

from hactl.admin.requests import Standby
from hactl.cli import client
from hactl.cli.backend import Backend
from hactl.cli.client import NotAllowedError
from hactl.cli.common import CliError
from hactl.config.errors import ConfigErrors
from hactl.config.node import NodeConfig, parse_node
from tests.support.scene import Scene
from tests.support.stand_in import StandIn

from .raw_http import WRITING, ask


def test_a_user_who_may_look_may_not_change(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    assert client.get(config.read_socket, "/v1/status", 10)["cluster"] == "demo"
    before = scene.view.revision
    for route in (*WRITING, "fence/test"):
        code, answer = ask(config.read_socket, f"POST /v1/{route} HTTP/1.0\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        assert (code, answer["kind"]) == (403, "forbidden")
    assert scene.view.revision == before


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_groups(daemon: StandIn, config: NodeConfig, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which users may connect to which socket, as the kernel decides; the command picks the socket for its user."""
    for path, group in ((config.api_socket, 12345), (config.read_socket, 12346)):
        os.chown(path, 0, group)
        Path(path).chmod(0o660)
    for directory in (Path(config.run_dir), *Path(config.run_dir).parents):
        if directory != Path("/"):
            directory.chmod(stat.S_IMODE(directory.stat().st_mode) | 0o055)

    def outcome(group: int) -> tuple[str, str]:
        """Of a look and of a change, by a user in this group."""
        read_end, write_end = os.pipe()
        if (pid := os.fork()) == 0:
            said = []
            try:
                os.setgroups([group])
                os.setgid(65534)
                os.setuid(65534)
                monkeypatch.setattr(client, "sudo_user", lambda: "anna")  # says that it is sudo's: it is not root
                for call in (
                    Backend(config).status,
                    lambda: Backend(config).do(Standby("n1", force=True)),
                ):
                    try:
                        said.append("done" if call() else "")
                    except CliError as error:
                        said.append(str(error))
                os.write(write_end, json.dumps(said).encode())
            finally:
                os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end) as file:
            look, change = json.loads(file.read())
        os.waitpid(pid, 0)
        return look, change

    assert outcome(12345) == ("done", "done")
    assert scene.view.standby["n1"].record.endswith("@n2") and "anna" not in scene.view.standby["n1"].record
    assert outcome(12346) == ("done", "you may not change anything here: be root")
    assert outcome(4711) == ("you may not use hactl here: be root", "you may not change anything here: be root")


def test_the_message_names_the_group() -> None:
    config = NodeConfig(cluster="demo", node="n2", run_dir="/nowhere")
    assert "be root, or a member of the group `hactl` or `hactl-read`" in str(Backend(config)._not_allowed())
    assert issubclass(NotAllowedError, CliError)


def test_sudo_is_kept_and_root_alone_is_believed(
    daemon: StandIn, config: NodeConfig, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "anna")
    client.post(config.api_socket, "/v1/node/standby", {"node": "n3"}, 10)
    name = getpass.getuser()
    requested_by = f"{name} (sudo anna)@n2" if os.getuid() == 0 else f"{name}@n2"
    assert scene.view.standby["n3"].record == requested_by
    monkeypatch.setenv("SUDO_USER", "anna\x1b[2J")
    client.post(config.api_socket, "/v1/node/online", {"node": "n3"}, 10)
    client.post(config.api_socket, "/v1/node/standby", {"node": "n3"}, 10)
    assert scene.view.standby["n3"].record == f"{name}@n2"
    head = b"POST /v1/node/online HTTP/1.0\r\nContent-Length: 13\r\nHactl-Sudo-User: a%1bb\r\n\r\n"
    code, answer = ask(config.api_socket, head + b'{"node":"n3"}')
    assert code == (400 if os.getuid() == 0 else 200), answer


def test_the_old_name_of_the_operating_group() -> None:
    assert parse_node('cluster = "c"\nnode = "n"\nsocket_group = "ops"').operate_group == "ops"
    with pytest.raises(ConfigErrors, match=r"socket_group: is the old name of `operate_group`, which is given, too"):
        parse_node('cluster = "c"\nnode = "n"\nsocket_group = "ops"\noperate_group = "x"')
