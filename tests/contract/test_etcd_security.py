"""EtcdStore with TLS, client certificates, users, passwords and tokens that end."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from election.etcd.store import EtcdStore
from election.store import Put, StoreAuthError, StoreUnavailableError, Txn
from tests.contract.watching import Collector
from tests.support.etcd import EtcdCluster, make_certificates, sign_client_certificate

T = 10.0


@pytest.fixture(scope="module")
def with_tls() -> Iterator[EtcdCluster]:
    """An etcd that asks for client certificates."""
    with EtcdCluster(tls=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def with_users() -> Iterator[EtcdCluster]:
    """An etcd with root and a user who may use /mine/ only, and tokens that end after a second without use."""
    with EtcdCluster(auth_token_ttl_s=1) as cluster:
        cluster.ctl("user", "add", "me:word")
        cluster.ctl("role", "add", "me")
        cluster.ctl("role", "grant-permission", "--prefix=true", "me", "readwrite", "/mine/")
        cluster.ctl("user", "grant-role", "me", "me")
        cluster.enable_auth()
        yield cluster


def put(store: EtcdStore, key: str, value: str) -> int:
    """Write one key; its revision."""
    return store.txn(Txn((), (Put(key, value),)), timeout_s=T).revision


def test_client_certificate(with_tls: EtcdCluster) -> None:
    certificates = with_tls.certificates
    assert certificates is not None
    store = EtcdStore(
        [f"https://{endpoint}" for endpoint in with_tls.endpoints],
        ca=certificates.ca,
        cert=certificates.client_cert,
        key=certificates.client_key,
    )
    try:
        revision = put(store, "a", "1")
        seen = Collector()
        store.watch("a", revision, seen)
        assert len(seen.until(revision)) == 1
        facts = store.look(T)[0]
        assert facts.member_id == facts.leader_id != 0
    finally:
        store.close()


def test_a_renewed_certificate_counts_without_a_restart(with_tls: EtcdCluster, tmp_path: Path) -> None:
    """An ended one is named, with its date; once it is renewed the same store goes on."""
    certificates = with_tls.certificates
    assert certificates is not None
    cert = tmp_path / "client.pem"
    shutil.copy(sign_client_certificate(certificates.ca.parent, -1), cert)
    store = EtcdStore(with_tls.endpoints, ca=certificates.ca, cert=cert, key=certificates.client_key)
    try:
        with pytest.raises(StoreUnavailableError, match=rf"client certificate {cert} ended on \d{{4}}-\d\d-\d\d"):
            store.get("a", timeout_s=2.0)
        shutil.copy(sign_client_certificate(certificates.ca.parent, 1), cert)
        put_when_it_works(store)
    finally:
        store.close()


def put_when_it_works(store: EtcdStore) -> None:
    """Write one key, tried again for a while."""
    deadline = time.monotonic() + T
    while True:
        try:
            put(store, "a", "1")
            return
        except StoreUnavailableError:
            if time.monotonic() > deadline:
                raise


def test_no_client_certificate(with_tls: EtcdCluster) -> None:
    assert with_tls.certificates is not None
    store = EtcdStore(with_tls.endpoints, ca=with_tls.certificates.ca)
    try:
        with pytest.raises((StoreAuthError, StoreUnavailableError)):
            store.get("a", timeout_s=2.0)
    finally:
        store.close()


def test_a_server_of_another_authority_is_refused(with_tls: EtcdCluster, tmp_path: Path) -> None:
    other = make_certificates(tmp_path)
    store = EtcdStore(with_tls.endpoints, ca=other.ca, cert=other.client_cert, key=other.client_key)
    try:
        with pytest.raises(StoreAuthError, match=r"(?i)certificate"):
            store.txn(Txn((), (Put("a", "1"),)), timeout_s=2.0)
    finally:
        store.close()


@pytest.mark.parametrize(
    ("endpoints", "options"),
    [
        ([], {}),
        (["nonsense"], {}),
        (["ftp://h:1"], {}),
        (["https://h:1"], {}),
        (["http://h:1"], {"ca": "ca.pem"}),
        (["h:1"], {"cert": "c.pem", "key": "k.pem"}),
        (["h:1"], {"ca": "ca.pem", "cert": "c.pem"}),
        (["h:1"], {"user": "u"}),
    ],
)
def test_options_that_do_not_fit_together_are_refused(endpoints: list[str], options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        EtcdStore(endpoints, **options)


def test_login_and_a_new_one_when_the_token_ends(with_users: EtcdCluster) -> None:
    store = EtcdStore(with_users.endpoints, user="me", password="word")
    try:
        first = put(store, "/mine/a", "1")
        seen = Collector()
        store.watch("/mine/", first, seen)
        time.sleep(2.5)  # the token ends; to ask whether it has would keep it alive
        last = put(store, "/mine/a", "2")
        time.sleep(2.5)
        late = Collector()
        store.watch("/mine/", first, late)
        assert len(seen.until(last)) == len(late.until(last)) == 2
    finally:
        store.close()


def test_a_restarted_etcd_has_forgotten_the_token() -> None:
    with EtcdCluster() as cluster:
        cluster.enable_auth()
        store = EtcdStore(cluster.endpoints, user="root", password="secret")
        try:
            first = put(store, "a", "1")
            seen = Collector()
            store.watch("a", first, seen)
            cluster.members[0].restart()
            cluster.wait_ready()
            last = put(store, "a", "2")
            assert len(seen.until(last)) == 2
        finally:
            store.close()


def test_a_short_call_leaves_the_login_to_the_next(with_users: EtcdCluster) -> None:
    """A login takes etcd longer than a renewal may take; it must get done nevertheless."""
    store = EtcdStore(with_users.endpoints, user="me", password="word")
    try:
        for _ in range(200):
            try:
                store.txn(Txn((), (Put("/mine/a", "x"),)), timeout_s=0.02)
            except StoreUnavailableError:
                continue
            break
        else:
            pytest.fail("never logged in")
    finally:
        store.close()


def test_authentication_may_be_off_yet(etcd: EtcdCluster) -> None:
    store = EtcdStore(etcd.endpoints, user="me", password="word")
    try:
        assert put(store, "/mine/a", "1") > 0
    finally:
        store.close()


def test_wrong_password_and_no_user(with_users: EtcdCluster) -> None:
    for options in ({"user": "me", "password": "wrong"}, {}):
        store = EtcdStore(with_users.endpoints, **options)
        try:
            with pytest.raises(StoreAuthError):
                put(store, "/mine/a", "1")
            seen = Collector()
            store.watch("/mine/", 1, seen)
            assert isinstance(seen.closed().error, StoreAuthError)
        finally:
            store.close()


def test_a_new_password_counts_without_a_restart(with_users: EtcdCluster) -> None:
    """Its file is read at each login."""
    words = ["old"]
    store = EtcdStore(with_users.endpoints, user="me", password=lambda: words[0])
    try:
        with pytest.raises(StoreAuthError):
            put(store, "/mine/a", "1")
        words[0] = "word"
        put(store, "/mine/a", "1")
    finally:
        store.close()


def test_a_user_without_permission(with_users: EtcdCluster) -> None:
    store = EtcdStore(with_users.endpoints, user="me", password="word")
    try:
        put(store, "/mine/a", "1")
        with pytest.raises(StoreAuthError):
            put(store, "/yours/a", "1")
        with pytest.raises(StoreAuthError):
            store.get("/yours/a", timeout_s=T)
        seen = Collector()
        store.watch("/yours/", 1, seen)
        assert isinstance(seen.closed().error, StoreAuthError)
    finally:
        store.close()
