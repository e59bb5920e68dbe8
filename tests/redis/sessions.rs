//! How a session begins: passwords, databases, sockets, TLS.

use std::time::Duration;

use pinion::redis::Settings;
use pinion::tls::Identity;
use redis::Value;

use super::fixture::{LONG, decided, on_core, per_hour, settings, with_ca};
use crate::support::TempDir;
use crate::support::certificates::{Authority, Leaf, Usage};
use crate::support::redis::{Redis, run};

/// One decision, once there is a session.
fn decide(settings: Settings) {
    let decision = on_core(settings, |ring, store| async move {
        decided(&ring, &store, &per_hour(3), "n").await
    });
    assert!(decision.admitted);
}

/// Whether there is no session for half a second, in which there are some attempts.
fn is_refused(settings: Settings) -> bool {
    on_core(settings, |ring, store| async move {
        for _ in 0..50 {
            if store.is_up() {
                return false;
            }
            ring.sleep(Duration::from_millis(10)).await;
        }
        true
    })
}

#[test]
fn passwords_users_and_databases() {
    let redis = Redis::start(&[
        "requirepass sesame/1",
        "user limiter on >open allcommands allkeys",
        "user narrow on >thin -@all +@scripting +get +set +time +select ~pinion:* ~n:*",
        "user blind on >thin +@all ~elsewhere:*",
    ]);
    let address = redis.address();
    decide(settings(&format!("redis://:sesame%2F1@{address}"), LONG));
    decide(settings(
        &format!("redis://default:sesame%2F1@{address}/1"),
        LONG,
    ));
    decide(settings(&format!("redis://limiter:open@{address}/7"), LONG));
    // No more than is needed, and CLIENT SETNAME is not.
    decide(settings(&format!("redis://narrow:thin@{address}/3"), LONG));
    for wrong in [
        format!("redis://{address}"),
        format!("redis://:wrong@{address}"),
        format!("redis://limiter:wrong@{address}"),
        format!("redis://nobody:open@{address}"),
        format!("redis://:sesame%2F1@{address}/16"),
        format!("redis://blind:thin@{address}"),
    ] {
        assert!(is_refused(settings(&wrong, LONG)), "{wrong}");
    }
    let mut connection = redis.client_with("?pass=sesame/1");
    for (database, keys) in [(0, 1), (1, 1), (3, 1), (7, 1), (2, 0)] {
        run(&mut connection, &format!("SELECT {database}"));
        let found = run(&mut connection, "KEYS n*");
        assert!(
            matches!(&found, Value::Array(it) if it.len() == keys),
            "{database}: {found:?}"
        );
    }
}

#[test]
fn over_a_unix_socket_with_a_name() {
    let redis = Redis::start(&[]);
    let url = format!("unix://{}?db=2", redis.socket().display());
    on_core(settings(&url, LONG), |ring, store| async move {
        decided(&ring, &store, &per_hour(3), "n").await;
        let clients = format!("{:?}", redis.command("CLIENT LIST"));
        let ours = clients
            .split("\\n")
            .find(|line| line.contains("name=pinion"));
        assert!(ours.is_some_and(|line| line.contains("db=2")), "{clients}");
    });
}

/// A session that is closed while it is idle is opened again, whoever asks or not.
#[test]
fn an_idle_session_that_is_closed_is_opened_again() {
    let redis = Redis::start(&[]);
    on_core(settings(&redis.url(), LONG), |ring, store| async move {
        for left in [2, 1, 0] {
            let decision = decided(&ring, &store, &per_hour(3), "n").await;
            assert_eq!(decision.remaining, left);
            redis.command("CLIENT KILL TYPE normal SKIPME yes");
        }
    });
}

/// One that speaks TLS with what `authority` has issued.
fn start_tls(directory: &TempDir, authority: &Authority, leaf: &Leaf<'_>, clients: &str) -> Redis {
    let (certificate, key) = authority.issue(leaf).files(directory, "redis");
    let ca = authority.file(directory, "ca.crt");
    Redis::start_with_tls(&[
        &format!("tls-cert-file {}", certificate.display()),
        &format!("tls-key-file {}", key.display()),
        &format!("tls-ca-cert-file {}", ca.display()),
        &format!("tls-auth-clients {clients}"),
    ])
}

#[test]
fn over_tls_with_a_certificate_that_is_believed() {
    let (directory, authority) = (TempDir::new(), Authority::new("Of Redis"));
    let redis = start_tls(&directory, &authority, &Leaf::default(), "no");
    let (ca, port) = (directory.path().join("ca.crt"), redis.tls_port());
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("rediss://{host}:{port}/1");
        decide(with_ca(settings(&url, LONG), &ca));
    }
    let other = Authority::new("Other").file(&directory, "other.crt");
    let url = format!("rediss://localhost:{port}");
    assert!(is_refused(with_ca(settings(&url, LONG), &other)));
    // Nor by whom the machine trusts, and not without TLS.
    assert!(is_refused(settings(&url, LONG)));
    let url = format!("redis://localhost:{port}");
    assert!(is_refused(settings(&url, LONG)));
}

#[test]
fn a_certificate_for_another_name_is_not_believed() {
    let (directory, authority) = (TempDir::new(), Authority::new("Of Redis"));
    let leaf = Leaf {
        names: &["redis.example"],
        ..Leaf::default()
    };
    let redis = start_tls(&directory, &authority, &leaf, "no");
    let ca = directory.path().join("ca.crt");
    let url = format!("rediss://localhost:{}", redis.tls_port());
    assert!(is_refused(with_ca(settings(&url, LONG), &ca)));
}

/// Which Redis does unless it is told otherwise.
#[test]
fn a_certificate_is_shown_where_redis_asks_for_one() {
    let (directory, authority) = (TempDir::new(), Authority::new("Of Redis"));
    let redis = start_tls(&directory, &authority, &Leaf::default(), "yes");
    let ca = directory.path().join("ca.crt");
    let url = format!("rediss://localhost:{}", redis.tls_port());
    let without = with_ca(settings(&url, LONG), &ca);
    let leaf = Leaf {
        usage: Usage::Client,
        ..Leaf::default()
    };
    let (certificate, key) = authority.issue(&leaf).files(&directory, "client");
    let mut with = without.clone();
    with.tls.identity = Some(Identity {
        certificate: ("--redis-cert", certificate),
        key: ("--redis-key", key),
    });
    decide(with);
    assert!(is_refused(without));
}
