//! What the kernel knows of a process: its descriptors, its memory, its time.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// Its open descriptors.
pub fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("its descriptors")
        .count()
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
    field_kib(&read(pid, "status"), "RssAnon:")
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
    let pid = Pid::from_raw(i32::try_from(pid).expect("the kernel's ids have 31 bits"));
    let mut both = getrlimit(Resource::Nofile);
    both.current = Some(limit as u64);
    prlimit(pid, Resource::Nofile, both).expect("a lower limit is always granted");
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

fn field_kib(text: &str, name: &str) -> usize {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.expect("a size").split_whitespace().next();
    number.expect("a number").parse().expect("a number")
}
