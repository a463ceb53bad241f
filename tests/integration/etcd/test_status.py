"""`hactl etcd status`, and the commands that it gives."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

from tests.integration.etcd.conftest import Run, Write, give_root
from tests.support.etcd import EtcdCluster, frozen
from tests.support.waiting import until


def test_a_cluster_that_is_well(hactl: Run, write: Write, secured: EtcdCluster) -> None:
    config = write(secured)
    for as_root in (False, True):
        if as_root:
            give_root(secured, config)
        status, out, err = hactl("etcd", "status")
        assert (status, err) == (0, "") and out.startswith("ok       nothing is wrong\n\nMEMBER  ID")
        rows = [line.split("  ") for line in out.splitlines()[3:]]
        assert [row[0].strip() for row in rows] == ["m0", "m1", "m2"]
        assert out.count("  leader  ") == 1 and out.count("  follower  ") == 2 and "MiB of 2048 MiB" in out
    document = json.loads(hactl("etcd", "status", "--json")[1])
    assert [endpoint["member"] for endpoint in document["endpoints"]] == ["m0", "m1", "m2"]
    # The command that every hint begins with is right for TLS and root.
    command = document["etcdctl"]
    assert "/pki/admin.pem" in command and "https://" in command
    listed = subprocess.run([*shlex.split(command), "member", "list"], capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) == 3
    checked = subprocess.run([*shlex.split(command), "user", "list"], capture_output=True, text=True, check=True)
    assert "hactl-n2" in checked.stdout


def test_members_that_are_away(hactl: Run, write: Write) -> None:
    with EtcdCluster(3) as cluster:
        write(cluster)
        with frozen(cluster.members[0]):
            until(lambda: hactl("etcd", "status")[0] == 0, "the others have a leader")
            out = hactl("etcd", "status")[1]
            assert out.startswith("WARNING  etcd's endpoint 127.0.0.1:")
            assert "2 of 3 members answer: no further member may be lost" in out
            assert [line.split()[3:5] for line in out.splitlines() if line.startswith("m0")] == [["no", "answer"]]
            with frozen(cluster.members[1]):
                words = "ERROR    etcd has no majority: 1 of 3 members"
                until(lambda: words in hactl("etcd", "status")[1], "the last one knows no leader")
                assert hactl("etcd", "status")[0] == 1


def test_settings_that_cannot_be_used(hactl: Run, write: Write, secured: EtcdCluster) -> None:
    config = write(secured)
    Path(config.etcd_key).write_text("")
    status, _, err = hactl("etcd", "status")
    assert status == 2 and "holds no private key" in err
