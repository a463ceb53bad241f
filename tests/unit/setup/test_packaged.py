"""An etcd that runs already: that of its package is stopped, every other is not touched."""

from __future__ import annotations

from hactl.setup.packaged import PackagedEtcd, in_use
from hactl.setup.places import Places


def test_as_its_package_began_it() -> None:
    assert in_use(PackagedEtcd(1, 1), Places()) == ""


def test_in_use() -> None:
    for etcd, words in ((PackagedEtcd(2, 1), "holds keys"), (PackagedEtcd(1, 3), "one of 3 members"), (None, "answer")):
        said = in_use(etcd, Places())
        assert words in said
        assert "`hactl setup --etcd-endpoints URLS`" in said
        assert "`systemctl stop etcd; mv /var/lib/etcd/default /var/lib/etcd/default.old`" in said
