//! What the kernel knows of a process, its descriptors, its memory, its time; and what it does to one.

use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit, setrlimit};

/// Its open descriptors.
pub fn descriptors(pid: u32) -> usize {
    descriptors_if_any(pid).expect("its descriptors")
}

/// The same, unless the process is gone.
pub fn descriptors_if_any(pid: u32) -> Option<usize> {
    Some(std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// The number that its next descriptor will have.
pub fn lowest_free_descriptor(pid: u32) -> usize {
    let taken = |number: &usize| {
        let path = format!("/proc/{pid}/fd/{number}");
        std::fs::symlink_metadata(path).is_ok()
    };
    (0..)
        .find(|number| !taken(number))
        .expect("numbers do not end")
}

/// Its resident memory in KiB, without the files that it maps: how much of the program is resident,
/// and whose it is, changes with whoever else runs it.
pub fn resident_kib(pid: u32) -> usize {
    resident_kib_if_any(pid).expect("its memory")
}

/// The same, unless the process is gone.
pub fn resident_kib_if_any(pid: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let size = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    size.split_whitespace().next()?.parse().ok()
}

/// The directories of its threads; none of one that is gone.
pub fn threads(pid: u32) -> impl Iterator<Item = PathBuf> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    threads.into_iter().flatten().flatten().map(|it| it.path())
}

/// The id of the thread that drives the ring of a server's first core. Those that the executor starts for
/// itself have its name, too, but come after it: numbers begin anew past the largest.
pub fn core_thread(pid: u32) -> u32 {
    let most = std::fs::read_to_string("/proc/sys/kernel/pid_max").expect("the largest id");
    let most: u32 = most.trim().parse().expect("a number");
    let named = threads(pid).filter(|thread| {
        let name = std::fs::read_to_string(thread.join("comm"));
        name.is_ok_and(|name| name.starts_with("core-"))
    });
    let ids = named.filter_map(|thread| thread.file_name()?.to_str()?.parse::<u32>().ok());
    let first = ids.min_by_key(|id| (id + most - pid) % most);
    first.expect("a thread named core-N")
}

/// Time that a thread has spent runnable and not running.
pub fn waited_for_cpu(thread: &Path) -> Duration {
    waited_for_cpu_if_any(thread).expect("schedstat of a thread that lives")
}

/// The same, unless the thread is gone.
pub fn waited_for_cpu_if_any(thread: &Path) -> Option<Duration> {
    let text = std::fs::read_to_string(thread.join("schedstat")).ok()?;
    let run_delay = text.split_whitespace().nth(1)?;
    Some(Duration::from_nanos(run_delay.parse().ok()?))
}

/// Its children, whichever of its threads started them, by their ids; none of one that is gone.
pub fn children(pid: u32) -> Vec<u32> {
    let children = threads(pid).map(|thread| std::fs::read_to_string(thread.join("children")));
    // A thread may end meanwhile.
    let children: String = children.filter_map(Result::ok).collect();
    let ids = children.split_whitespace().map(|child| child.parse());
    ids.map(|child| child.expect("a process id")).collect()
}

/// What a process ends with that is about to.
pub fn status_of(child: &mut Child, patience: Duration) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("its status") {
            return status;
        }
        assert!(start.elapsed() < patience, "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends each of them a signal, unless it has just ended by itself.
pub fn signal_all(pids: &[u32], signal: Signal) {
    for pid in pids {
        let _ = kill_process(by_id(*pid), signal);
    }
}

/// Processes that stand still (SIGSTOP) until it is dropped.
pub struct Frozen(Vec<u32>);

impl Frozen {
    pub fn freeze(pids: Vec<u32>) -> Frozen {
        signal_all(&pids, Signal::STOP);
        Frozen(pids)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.0.reverse();
        signal_all(&self.0, Signal::CONT);
    }
}

/// The time that its threads have run, in whole hundredths of a second.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = read(pid, "stat");
    // The second field is the program's name, which may hold anything.
    let fields = stat.rsplit_once(')').expect("a name").1;
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11) // utime and stime, the 14th and the 15th
        .take(2)
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Lets it open no descriptor of this number or above. What is open stays open.
pub fn limit_descriptors(pid: u32, limit: usize) {
    let mut both = getrlimit(Resource::Nofile);
    both.current = Some(limit as u64);
    prlimit(Some(by_id(pid)), Resource::Nofile, both).expect("a lower limit is always granted");
}

/// Lets this process have as many descriptors as it may.
pub fn raise_own_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit");
}

/// Clients in the backlog of the socket that listens on a port of 127.0.0.1: accepted by the kernel,
/// and not by the server.
pub fn backlog(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of sockets");
    let local = format!("0100007F:{port:04X}");
    let listening = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(&local) && fields.nth(1) == Some("0A")
    };
    let line = table.lines().find(listening).expect("it listens");
    let queues = line.split_whitespace().nth(4).expect("its queues");
    let received = queues
        .split(':')
        .nth(1)
        .expect("the queue of those who wait");
    usize::from_str_radix(received, 16).expect("a number")
}

fn read(pid: u32, name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("the process is there")
}

/// A process as the kernel's calls name it.
pub fn by_id(pid: u32) -> Pid {
    let pid = i32::try_from(pid).expect("the kernel's ids have 31 bits");
    Pid::from_raw(pid).expect("not 0")
}
