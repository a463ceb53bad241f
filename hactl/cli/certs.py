"""`hactl certs …`: the certificates of etcd and of its users."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from hactl.cli.common import BAD_INPUT, CliError, refusals, say, settings, settings_path
from hactl.cli.options import ConfigOption, Json
from hactl.cli.output import Style, table
from hactl.cli.setup_options import Ssh, SshUser

if TYPE_CHECKING:
    from hactl.setup.certificates import Certificate


def show(as_json: Json = False, config: ConfigOption = None) -> None:
    """Show every certificate on this machine, and those that etcd's members use: whose, and until when."""
    from hactl.setup.certificates import of_this_machine, shown_by  # noqa: PLC0415 - as the next
    from hactl.setup.places import Places  # noqa: PLC0415

    # A witness has no node.toml.
    node = settings(config) if settings_path(config).exists() else None
    with refusals():
        known = of_this_machine(Places(), (node.etcd_cert, node.etcd_ca) if node else ())
        known += shown_by(node.endpoints) if node else ()
    if not known:
        raise CliError("there is no certificate on this machine: it was not set up by `hactl setup`", BAD_INPUT)
    now = datetime.now(UTC)
    if as_json:
        say(json.dumps([_document(certificate, now) for certificate in known], indent=1))
        return
    rows = [_row(certificate, now) for certificate in known]
    say("\n".join(table(("CERTIFICATE", "OF", "NAME", "ENDS", "DAYS LEFT"), rows, Style.of())))


def _row(certificate: Certificate, now: datetime) -> tuple[str, ...]:
    if certificate.end is None:
        return (certificate.place, certificate.use, certificate.name, "", certificate.problem)
    left = f"{_days(certificate.end, now):.0f}"
    return (certificate.place, certificate.use, certificate.name, f"{certificate.end:%Y-%m-%d %H:%M} UTC", left)


def _document(certificate: Certificate, now: datetime) -> dict[str, object]:
    end = certificate.end
    return {
        "place": certificate.place,
        "use": certificate.use,
        "name": certificate.name,
        "end": end.isoformat(timespec="seconds") if end else None,
        "days_left": round(_days(end, now), 2) if end else None,
        "problem": certificate.problem,
    }


def _days(end: datetime, now: datetime) -> float:
    return (end - now).total_seconds() / 86400


def renew(
    ssh: Ssh = False,
    ssh_user: SshUser = "root",
    new_keys: Annotated[
        bool, typer.Option("--new-keys", help="Make new keys, too: when somebody may have read the old ones.")
    ] = False,
) -> None:
    """Make new certificates for all machines, where `hactl setup` ran. Nothing is restarted, no connection is cut.

    This machine takes its own at once; for the others it says what to type, or has them taken by ssh.
    """
    from hactl.setup.first import renew_certificates  # noqa: PLC0415 - as the next
    from hactl.setup.machine import Machine  # noqa: PLC0415
    from hactl.setup.places import Places  # noqa: PLC0415

    with refusals():
        renew_certificates(Places(), Machine(), say, ssh_user=ssh_user if ssh else "", new_keys=new_keys)
    say("`hactl certs show` shows what is in use")
