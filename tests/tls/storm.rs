//! Many handshakes at once: others are served meanwhile, and so are those who shake hands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::support::certificates::{Key, Leaf};
use super::support::{Client, PATIENCE};
use super::{client_config, https_with, session, shake_hands};

#[test]
fn requests_and_handshakes_go_on_in_a_storm() {
    let leaf = Leaf {
        key: Key::Rsa2048,
        ..Leaf::default()
    };
    let mut https = https_with(&leaf, &["--listen", "http://127.0.0.1:0"]);
    let (address, plain) = (https.address(), https.plain_address());
    let roots = https.authority.roots();
    let (over, shaken) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                // No sessions to take up again: each is a signature.
                let mut config = client_config(&roots);
                config.resumption = rustls::client::Resumption::disabled();
                let config = Arc::new(config);
                let start = std::time::Instant::now();
                while !over.load(Ordering::Relaxed) && start.elapsed() < PATIENCE {
                    shake_hands(session(address, &config, "localhost")).expect("served as well");
                    shaken.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut client = Client::connect(plain);
        let mut requests = 0;
        let start = std::time::Instant::now();
        while (shaken.load(Ordering::Relaxed) < 200 || requests < 200) && start.elapsed() < PATIENCE
        {
            assert_eq!(client.request("GET", "/health", None).status, 200);
            requests += 1;
        }
        over.store(true, Ordering::Relaxed);
        assert!(requests >= 200, "{requests} requests were answered");
    });
    let shaken = shaken.into_inner();
    assert!(shaken >= 200, "{shaken} handshakes were done");
}
