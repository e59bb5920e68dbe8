//! A shop with an admin port, and clients that keep asking it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::support::{Client, Postgres, Response, Server, wait_until};

/// The shop on two cores, where there are two.
pub fn shop(postgres: &Postgres) -> (Server, SocketAddr) {
    let cores = match std::thread::available_parallelism().map_or(1, usize::from) {
        1 => "0",
        _ => "0,1",
    };
    let flags = ["--admin", "127.0.0.1:0", "--cores", cores];
    let mut server = Server::shop(postgres, &flags);
    let admin = server.admin();
    // Every core, not only the one that answers.
    wait_until("it is ready", || get(admin, "/readyz").status == 200);
    (server, admin)
}

/// One request of the admin port, by a name that it has.
pub fn ask(admin: SocketAddr, method: &str, path: &str) -> Response {
    let mut client = Client::connect(admin);
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ));
    let answer = match method {
        "HEAD" => client.response_to_head(),
        _ => client.response(),
    };
    assert!(client.is_closed(), "{path}: nothing comes after the answer");
    answer
}

/// One GET of it.
pub fn get(admin: SocketAddr, path: &str) -> Response {
    ask(admin, "GET", path)
}

/// The same, as JSON.
pub fn json(admin: SocketAddr, path: &str) -> Value {
    let response = get(admin, path);
    serde_json::from_slice(&response.body).expect("JSON")
}

/// Clients that ask until it is dropped.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Users that were asked for and answered.
    pub users: Arc<AtomicU64>,
}

impl Traffic {
    /// So many clients: mostly users, some other answers.
    pub fn start(server: SocketAddr, clients: usize) -> Traffic {
        let (stop, users) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let threads = (0..clients).map(|number| {
            let (stop, users) = (stop.clone(), users.clone());
            std::thread::spawn(move || {
                let mut client = Client::connect(server);
                for round in number.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let (target, status) = match round % 12 {
                        0 => ("/health".to_owned(), 200),
                        1 => ("/nothing".to_owned(), 404),
                        2 => ("/users/0".to_owned(), 404),
                        3 => ("/products?limit=3".to_owned(), 200),
                        _ => (format!("/users/{}", round % 97 + 1), 200),
                    };
                    let answer = client.request("GET", &target, None);
                    assert_eq!(answer.status, status, "{target}: {}", answer.text());
                    users.fetch_add(u64::from(target.starts_with("/users/")), Ordering::Relaxed);
                }
            })
        });
        Traffic {
            threads: threads.collect(),
            stop,
            users,
        }
    }

    /// Ends it, and tells how many users have been asked for.
    pub fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("every answer was the expected one");
        }
        self.users.load(Ordering::Relaxed)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
