"""The next client sees a renewed certificate, however its file was renewed; a broken one is refused."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from hactl.haproxy.control.certificate_files import Named, digests, directories, named_files
from tests.lab.haproxy.haproxy_lab import DEADLINE_S, Lab
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two certificates with their keys, `one.pem` and `two.pem`; the name is the common name."""
    place = tmp_path_factory.mktemp("certificates")
    for name in ("one", "two"):
        key, certificate = place / f"{name}.key", place / f"{name}.crt"
        argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        argv += ["-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={name}", "-days", "3"]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
        (place / f"{name}.pem").write_text(certificate.read_text() + "\n" + key.read_text())
    return place


async def seen_by_a_client(lab: Lab) -> str:
    """The common name of the certificate that a new client is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    del reader
    return next(name for name in ("one", "two") if name.encode() in shown)


async def until_seen(lab: Lab, name: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while await seen_by_a_client(lab) != name:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.02)


def config(lab: Lab, tls: str, **options: object) -> str:
    text = lab.config(names="a", mode="tcp", **options)
    return text.replace(f"bind 127.0.0.1:{lab.port}", f"bind 127.0.0.1:{lab.port} ssl {tls}")


def in_place(file: Path, content: str) -> None:
    file.write_text(content)


def by_rename(file: Path, content: str) -> None:
    other = file.with_name("new")
    other.write_text(content)
    other.rename(file)


def by_link(file: Path, content: str) -> None:
    """As certbot does: the link is made anew."""
    other = file.parent.parent / "archive" / "2.pem"
    other.parent.mkdir()
    other.write_text(content)
    file.unlink()
    file.symlink_to("../archive/2.pem")


def by_directory(file: Path, content: str) -> None:
    """As Kubernetes does: file -> ..data/file, ..data -> ..2; and then ..data is another link."""
    for version, text in (("..1", file.read_text()), ("..2", content)):
        (file.parent / version).mkdir()
        (file.parent / version / file.name).write_text(text)
        (file.parent / "..new").symlink_to(version)
        (file.parent / "..new").rename(file.parent / "..data")
        if not file.is_symlink():
            file.unlink()
            file.symlink_to(f"..data/{file.name}")


@pytest.mark.parametrize("renew", [in_place, by_rename, by_link, by_directory])
def test_a_renewed_certificate_is_shown_without_a_reload(lab: Lab, made: Path, renew: object) -> None:
    place = lab.directory / "live" / "tls"
    place.mkdir(parents=True)
    file = place / "site.pem"
    shutil.copy(made / "one.pem", file)

    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a"):
            assert (await manager.ensure(config(lab, f"crt {file}"))).error == ""
            assert await seen_by_a_client(lab) == "one"
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.port, ssl=context)
            renew(file, (made / "two.pem").read_text())  # type: ignore[operator]
            await until_seen(lab, "two")
            await wait_until(lambda: lab.kinds() == ["started", "certificate"], "said")
            # The connection from before goes on.
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await reader.read()).endswith(b"a")
            writer.close()
        await manager.stop()

    asyncio.run(scenario())


def test_a_broken_certificate_is_refused_and_the_old_one_stays(lab: Lab, made: Path) -> None:
    file = lab.directory / "site.pem"
    shutil.copy(made / "one.pem", file)

    async def scenario() -> None:
        manager = lab.manager()
        await manager.ensure(config(lab, f"crt {file}"))
        # Another's key.
        file.write_text((made / "two.crt").read_text() + (made / "one.key").read_text())
        await wait_until(lambda: lab.kinds()[-1] == "certificate_refused", "refused")
        assert str(file) in lab.events[-1].detail
        assert await seen_by_a_client(lab) == "one"
        file.write_text((made / "two.pem").read_text())
        await until_seen(lab, "two")
        assert "reloaded" not in lab.kinds()
        await manager.stop()

    asyncio.run(scenario())


def test_a_key_of_its_own_file(lab: Lab, made: Path) -> None:
    file = lab.directory / "site.crt"
    key = lab.directory / "site.crt.key"

    async def scenario() -> None:
        manager = lab.manager()
        shutil.copy(made / "one.crt", file)
        shutil.copy(made / "one.key", key)
        await manager.ensure(config(lab, f"crt {file}"))
        shutil.copy(made / "two.crt", file)
        shutil.copy(made / "two.key", key)
        await until_seen(lab, "two")
        await manager.stop()

    asyncio.run(scenario())


def test_a_new_file_in_a_directory_takes_a_reload(lab: Lab, made: Path) -> None:
    place = lab.directory / "tls"
    place.mkdir()
    shutil.copy(made / "two.pem", place / "2.pem")

    async def scenario() -> None:
        manager = lab.manager()
        await manager.ensure(config(lab, f"crt {place}"))
        assert await seen_by_a_client(lab) == "two"
        shutil.copy(made / "one.pem", place / "1.pem")
        await wait_until(lambda: "reloaded" in lab.kinds() and lab.kinds()[-1] == "certificate", "reloaded")
        await until_seen(lab, "one")
        await manager.stop()

    asyncio.run(scenario())


def test_authorities_are_taken_over(lab: Lab, made: Path) -> None:
    site, authorities = lab.directory / "site.pem", lab.directory / "ca.pem"
    shutil.copy(made / "one.pem", site)
    shutil.copy(made / "one.crt", authorities)

    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a"):
            await manager.ensure(config(lab, f"crt {site} ca-file {authorities} verify required"))
            shutil.copy(made / "two.crt", authorities)
            await wait_until(lambda: "certificate" in lab.kinds(), "taken")
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.load_cert_chain(made / "two.crt", made / "two.key")
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.port, ssl=context)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await reader.read()).endswith(b"a")
            writer.close()
            assert lab.kinds() == ["started", "certificate"]
        await manager.stop()

    asyncio.run(scenario())


def test_one_that_was_renewed_while_no_daemon_was_there(lab: Lab, made: Path) -> None:
    file = lab.directory / "site.pem"
    shutil.copy(made / "one.pem", file)

    async def scenario() -> None:
        first = lab.manager()
        await first.ensure(config(lab, f"crt {file}"))
        await first.close()
        shutil.copy(made / "two.pem", file)
        manager = lab.manager()
        assert await manager.resume()
        await until_seen(lab, "two")
        assert "reloaded" not in lab.kinds()
        await manager.stop()

    asyncio.run(scenario())


def test_files_that_a_configuration_names(tmp_path: Path) -> None:
    text = f"""
global
    crt-base {tmp_path}
frontend f
    bind :443 ssl crt one.pem crt /etc/two alpn h2
    bind :444 ssl crt-list "/etc/list" ca-file @system-ca ca-file /etc/ca.pem
    http-request set-header X crt
backend b
    server a 10.0.0.1:443 ssl verify required ca-file /etc/ca.pem crt /etc/client.pem
"""
    assert named_files(text) == (
        Named("crt", f"{tmp_path}/one.pem"),
        Named("crt", "/etc/two"),
        Named("list", "/etc/list"),
        Named("ca", "/etc/ca.pem"),
        Named("crt", "/etc/client.pem"),
    )
    (tmp_path / "one.pem").write_text("x")
    listed = tmp_path / "list"
    listed.write_text(f"# all\n{tmp_path}/one.pem [alpn h2] example.org\n")
    assert set(digests((Named("list", str(listed)),))) == {str(listed), f"{tmp_path}/one.pem"}
    (tmp_path / "away").mkdir()
    (tmp_path / "link").symlink_to("away")
    assert set(directories(str(tmp_path / "link" / "x.pem"))) == {str(tmp_path), str(tmp_path / "away")}
