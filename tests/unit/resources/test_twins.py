"""Which processes run the command of a resource though hactl did not start them."""

from __future__ import annotations

import pytest

from hactl.resources.twins import named, runs


@pytest.mark.parametrize(
    ("words", "argv", "same"),
    [
        (["/usr/sbin/mysqld", "--datadir=/d"], ["mysqld", "--datadir=/d"], True),
        (["mysqld", "--datadir=/d"], ["/usr/sbin/mysqld", "--datadir=/d"], True),
        (["mysqld", "--datadir=/e"], ["mysqld", "--datadir=/d"], False),
        (["mysqld"], ["mysqld", "--datadir=/d"], False),
        (["/bin/sh", "/opt/app", "serve"], ["/opt/app", "serve"], True),
        (["python3", "-u", "/opt/app", "serve"], ["app", "serve"], True),
        (["vi", "-R", "-n", "/opt/app"], ["/opt/app"], False),
        (["bash", "-c", "app serve"], ["app", "serve"], False),
        ([], ["app"], False),
    ],
)
def test_what_runs_a_command(words: list[str], argv: list[str], same: bool) -> None:
    assert runs(words, argv) == same


def test_it_says_which() -> None:
    assert named([7]) == "process 7"
    assert named([9, 7, 8, 10, 11]) == "processes 7, 8, 9 and 2 more"
