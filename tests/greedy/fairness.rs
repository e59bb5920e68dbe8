//! One that asks without end does not keep the others waiting.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::{Server, get, server};

/// Answers that `count` clients get, which ask for as much as goes all the time, while one client
/// gets `singles` answers to one request after the other, each with 200.
fn flooded(server: &Server, count: usize, target: &str, singles: usize) -> usize {
    let (stop, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let requests = get(target).repeat(1000);
    thread::scope(|scope| {
        for _ in 0..count {
            let mut reader = server.client().stream;
            let mut writer = reader.try_clone().unwrap();
            let (stop, answers, requests) = (&stop, &answers, &requests);
            scope.spawn(move || while writer.write_all(requests.as_bytes()).is_ok() {});
            scope.spawn(move || {
                let mut part = vec![0; 64 * 1024];
                while !stop.load(Ordering::Relaxed) {
                    let count = reader.read(&mut part).unwrap();
                    // Each answer has one such letter, that of HTTP.
                    let got = part[..count].iter().filter(|octet| **octet == b'H').count();
                    answers.fetch_add(got, Ordering::Relaxed);
                }
                reader.shutdown(std::net::Shutdown::Both).unwrap();
            });
        }
        let mut single = server.client();
        // All of them are at it.
        while answers.load(Ordering::Relaxed) < 1000 * count {
            thread::yield_now();
        }
        let before = answers.load(Ordering::Relaxed);
        for _ in 0..singles {
            assert_eq!(single.request("GET", target, None).status, 200);
        }
        let during = answers.load(Ordering::Relaxed) - before;
        stop.store(true, Ordering::Relaxed);
        during
    })
}

#[test]
fn a_deep_pipeline_leaves_the_others_their_turn() {
    let (server, _postgres) = server(&[]);
    let singles = 300;
    for count in [1, 5] {
        let during = flooded(&server, count, "/health", singles);
        let each = during / singles / count;
        println!("{count} floods: {each} answers of each to one of the single client");
        assert!(each < 2000, "{each}");
    }
}

#[test]
fn deep_pipelines_leave_the_others_their_turn_at_postgres() {
    let (server, _postgres) = server(&[]);
    let singles = 100;
    let count = 10;
    let during = flooded(&server, count, "/echo/x", singles);
    let each = during / singles / count;
    println!("{count} floods: {each} answers of each to one of the single client");
    assert!(each < 500, "{each}");
}
