//! What goes over the wire: settings and statement leave together, and one answer comes back.

use futures_util::future::join_all;
use pinion::api::Setting;

use crate::fixture::{SCHEMA, Who, api, on_one_connection};
use crate::support::Postgres;
use crate::support::proxy::Proxy;

/// The tags of whole messages.
fn tags(bytes: &[u8]) -> String {
    let mut tags = String::new();
    let mut rest = bytes;
    while let [tag, a, b, c, d, ..] = *rest {
        tags.push(tag as char);
        let length = u32::from_be_bytes([a, b, c, d]) as usize + 1;
        rest = rest.get(length..).expect("whole messages");
    }
    assert!(rest.is_empty(), "part of a message");
    tags
}

fn proxied(postgres: &Postgres) -> (Proxy, String) {
    let proxy = Proxy::start(&postgres.socket());
    let url = proxy
        .url()
        .replace("postgres@", "app@")
        .replace("/postgres?", "/shop?");
    (proxy, format!("{url}&sslmode=disable"))
}

#[test]
fn settings_and_statement_are_one_write_with_one_sync() {
    let postgres = Postgres::start(SCHEMA);
    let (proxy, url) = proxied(&postgres);
    on_one_connection(api(&["agent"]), &url, |core| async move {
        let one = Who::new("t1", "agent");
        proxy.take_sent();
        for (route, capture, expected) in [
            ("told", "", "BEBES"),
            ("agents", "", "BEBES"),
            ("agent", "1", "BEBES"),
            ("note", "key", "BEBES"),
            ("public", "", "BES"),
            ("public_agents", "", "BES"),
        ] {
            let _ = core.ask(route, capture, &one).await;
            let sent = proxy.take_sent();
            assert_eq!(sent.len(), 1, "writes for {route}");
            assert_eq!(tags(&sent[0]), expected, "{route}");
            // The values are bound: the statement's text is not sent again.
            assert!(!sent[0].windows(10).any(|part| part == b"set_config"));
        }
        // As many as are asked in one pass are one write, too.
        let asked = (0..10).map(|_| core.ask("told", "", &one));
        assert!(join_all(asked).await.iter().all(Result::is_ok));
        let sent = proxy.take_sent();
        assert_eq!((sent.len(), &*tags(&sent[0])), (1, &*"BEBES".repeat(10)));
    });
}

#[test]
fn a_batch_is_of_one_who_asks() {
    let postgres = Postgres::start(SCHEMA);
    let (proxy, url) = proxied(&postgres);
    on_one_connection(api(&["agent", "auditor"]), &url, |core| async move {
        let one = Who::new("t1", "agent");
        // The same claims by another token's identity.
        let same = Who::new("t1", "agent");
        let other = Who::new("t2", "agent");
        let auditor = Who {
            role: "auditor".to_owned(),
            ..one.clone()
        };
        for (who, batches) in [
            (vec![&one; 12], 1),
            ([vec![&one; 6], vec![&same; 6]].concat(), 1),
            ([vec![&one; 6], vec![&other; 6]].concat(), 2),
            ([&one, &other].repeat(6), 2),
            ([&one, &other, &auditor].repeat(4), 3),
        ] {
            // With and without a parameter: by a statement for several keys, and by one run once for all.
            for route in ["agent", "agents"] {
                proxy.take_sent();
                let asked = who.iter().enumerate().map(|(index, who)| {
                    let capture = match route {
                        "agent" => (index + 1).to_string(),
                        _ => String::new(),
                    };
                    let core = core.clone();
                    async move { core.ask(route, &capture, who).await }
                });
                assert!(join_all(asked).await.iter().all(Result::is_ok));
                let sent = tags(&proxy.take_sent().concat());
                assert_eq!(sent, "BEBES".repeat(batches), "{route}");
            }
        }
    });
}

#[test]
fn what_is_of_each_request_keeps_them_apart() {
    let postgres = Postgres::start(SCHEMA);
    let (proxy, url) = proxied(&postgres);
    let mut api = api(&["agent"]);
    for route in &mut api.routes {
        if route.name.starts_with("agent") {
            let all = Setting::ALL.into_iter().collect();
            let roles = vec!["agent".to_owned()];
            route.transaction = Some(pinion::api::Transaction::new(all, roles));
        }
    }
    on_one_connection(api, &url, |core| async move {
        let one = Who::new("t1", "agent");
        for route in ["agents", "agent"] {
            proxy.take_sent();
            let capture = if route == "agent" { "1" } else { "" };
            let asked = (0..7).map(|_| core.ask(route, capture, &one));
            assert!(join_all(asked).await.iter().all(Result::is_ok));
            let sent = tags(&proxy.take_sent().concat());
            assert_eq!(sent, "BEBES".repeat(7), "{route}");
        }
    });
}
