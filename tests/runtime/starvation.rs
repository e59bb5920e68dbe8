//! A core that gets little of its processor. What the scheduler takes away is measured and taken off
//! each answer's time, so that what is left is the runtime's own doing: an executor that parks although
//! tasks are runnable would show as a gap in which the core's thread did not even want to run.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::core_thread::StoppedCore;
use crate::support::process::{core_thread, waited_for_cpu};
use crate::support::{Client, Postgres, Server, Signal};

/// No core stalls for longer, but for what the scheduler takes away.
const STALL_MAX: Duration = Duration::from_millis(50);

/// Of one kind of hostility.
const DURATION: Duration = Duration::from_secs(3);

/// Threads that do nothing but compete for the core's processor.
const HOGS: usize = 4;

/// Time that the hypervisor has given to others, in `/proc/stat`'s ticks of 10 ms.
fn stolen() -> Duration {
    let text = std::fs::read_to_string("/proc/stat").expect("/proc/stat");
    let ticks = text.split_whitespace().nth(8).expect("steal");
    Duration::from_millis(10 * ticks.parse::<u64>().expect("a number"))
}

/// Threads that end when this is dropped, also by a failing test.
struct Hostile {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hostile {
    fn new() -> Hostile {
        Hostile {
            stop: Arc::default(),
            threads: Vec::new(),
        }
    }

    fn add(&mut self, work: impl Fn() + Send + 'static) {
        let stop = self.stop.clone();
        self.threads.push(thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                work();
            }
        }));
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A client that failed has failed the test by itself: the answers are counted.
            let _ = thread.join();
        }
    }
}

/// Keeps the core busy with requests to Postgres, and counts the answers.
fn load(hostile: &mut Hostile, address: SocketAddr, answers: &Arc<AtomicU64>) {
    for _ in 0..2 {
        let answers = answers.clone();
        let client = std::sync::Mutex::new(Client::connect(address));
        hostile.add(move || {
            let mut client = client.lock().expect("one thread only");
            let request = "GET /users/42 HTTP/1.1\r\nHost: test\r\n\r\n";
            client.send(request.repeat(16));
            for _ in 0..16 {
                assert_eq!(client.response().status, 200);
                answers.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

fn hogs(hostile: &mut Hostile, cpu: usize) {
    for _ in 0..HOGS {
        hostile.add(move || {
            core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
            let end = Instant::now() + Duration::from_millis(20);
            while Instant::now() < end {
                std::hint::spin_loop();
            }
        });
    }
}

/// Asks for `/health` for a while; `hinder` may stop the server between the question and the answer
/// for as long as it says. The longest time that nobody but the runtime can be blamed for.
fn longest_stall(server: &Server, hinder: impl Fn()) -> (Duration, u32) {
    let pid = server.pid();
    let core = format!("/proc/{pid}/task/{}", core_thread(pid));
    let own = Path::new("/proc/thread-self");
    let taken = || waited_for_cpu(Path::new(&core)) + waited_for_cpu(own) + stolen();
    let mut client = server.client();
    let (mut longest, mut answers) = (Duration::ZERO, 0);
    let end = Instant::now() + DURATION;
    while Instant::now() < end {
        client.send("GET /health HTTP/1.1\r\nHost: test\r\n\r\n");
        hinder();
        let (before, start) = (taken(), Instant::now());
        assert_eq!(client.response().status, 200);
        let gap = start.elapsed();
        longest = longest.max(gap.saturating_sub(taken() - before));
        answers += 1;
        // Sometimes the core has gone to sleep, sometimes it is still busy.
        thread::sleep(Duration::from_micros(700 * u64::from(answers % 20)));
    }
    (longest, answers)
}

fn shop(postgres: &Postgres, cpu: usize) -> Server {
    Server::shop(postgres, &["--cores", &cpu.to_string()]).ready()
}

fn first_cpu() -> usize {
    let cpus = core_affinity::get_core_ids().expect("the CPUs of this process");
    cpus.first().expect("one at least").id
}

#[test]
fn a_core_that_is_starved_does_not_stall() {
    let (postgres, cpu) = (Postgres::shop(), first_cpu());
    let mut server = shop(&postgres, cpu);
    let mut hostile = Hostile::new();
    let served = Arc::new(AtomicU64::new(0));
    load(&mut hostile, server.address, &served);
    hogs(&mut hostile, cpu);
    let (stall, answers) = longest_stall(&server, || ());
    let served = served.load(Ordering::Relaxed);
    println!("{answers} answers beside {served} from Postgres, stalled for {stall:?} at the most");
    assert!(stall <= STALL_MAX, "a core stalled for {stall:?}");
    assert!(
        answers > 20 && served > 20,
        "{answers} and {served} answers"
    );
    assert!(!server.log().iter().any(|line| line.contains("panicked")));
}

/// An idle core, whose thread blocks in the kernel, among hogs: each wake-up finds it asleep.
#[test]
fn a_core_that_sleeps_among_hogs_wakes() {
    let (postgres, cpu) = (Postgres::shop(), first_cpu());
    let server = shop(&postgres, cpu);
    let mut hostile = Hostile::new();
    hogs(&mut hostile, cpu);
    let (stall, answers) = longest_stall(&server, || ());
    println!("{answers} answers, stalled for {stall:?} at the most");
    assert!(stall <= STALL_MAX, "a core stalled for {stall:?}");
    assert!(answers > 20, "{answers} answers");
}

/// Stopped and continued at any moment, as by a debugger, a freezer or a paused machine: timers that ran out
/// meanwhile, sleeps in the kernel that are interrupted.
#[test]
fn a_core_that_is_stopped_goes_on() {
    let (postgres, cpu) = (Postgres::shop(), first_cpu());
    let server = shop(&postgres, cpu);
    let mut hostile = Hostile::new();
    let served = Arc::new(AtomicU64::new(0));
    load(&mut hostile, server.address, &served);
    let round = AtomicU64::new(0);
    let (stall, answers) = longest_stall(&server, || {
        let round = round.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_micros(round * 137 % 3000));
        server.signal(Signal::STOP);
        thread::sleep(Duration::from_micros(round * 7919 % 25_000));
        server.signal(Signal::CONT);
    });
    let served = served.load(Ordering::Relaxed);
    println!("{answers} answers beside {served} from Postgres, stalled for {stall:?} at the most");
    assert!(stall <= STALL_MAX, "a core stalled for {stall:?}");
    assert!(
        answers > 20 && served > 20,
        "{answers} and {served} answers"
    );
}

/// A core that has stopped in the middle of waking the control thread, with whatever it holds then, is
/// told of like any other, and nobody waits for it.
#[test]
fn a_core_that_is_stopped_as_it_wakes_another_thread_keeps_nobody() {
    let postgres = Postgres::shop();
    let mut server = shop(&postgres, first_cpu());
    for _ in 0..3 {
        server.forget_log();
        // It hands over once a second what it has done.
        let stopped = StoppedCore::stop_as_it_wakes(server.pid());
        server.wait_for_line("a core is stuck");
        drop(stopped);
        server.wait_for_line("the core that was stuck goes on");
        assert_eq!(server.get("/users/42").status, 200);
    }
}
