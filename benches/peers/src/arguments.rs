//! The command line of every peer, and the cores that its workers are pinned to.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use rustix::thread::{CpuSet, sched_setaffinity};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted: Pinion's default.
pub const BACKLOG: i32 = 65_535;

#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Address to listen on
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8101")]
    pub listen: SocketAddr,
    /// Cores; one worker thread is pinned to each
    #[arg(
        long = "core",
        value_name = "N[,M…]",
        value_delimiter = ',',
        default_value = "0"
    )]
    pub cores: Vec<usize>,
    /// Database of the shop; a peer that has no such routes makes no use of it
    #[arg(long, value_name = "URL", default_value = "postgres://postgres@/shop")]
    pub database_url: String,
}

impl Arguments {
    /// Confines the process to its cores; threads that are started later inherit that.
    pub fn confine(&self) -> io::Result<()> {
        run_on(&self.cores)
    }

    /// Hands out the cores to workers that a framework starts by itself.
    pub fn pins(&self) -> Pins {
        Pins {
            cores: self.cores.clone().into(),
            next: Arc::default(),
        }
    }

    /// Runs one worker thread per core, each pinned, and returns with the first that ends.
    pub fn run_workers<W>(&self, worker: W) -> io::Result<()>
    where
        W: Fn(&Arguments) -> io::Result<()> + Clone + Send + 'static,
    {
        let (ended, first) = std::sync::mpsc::channel();
        for &core in &self.cores {
            let (arguments, worker, ended) = (self.clone(), worker.clone(), ended.clone());
            std::thread::Builder::new()
                .name(format!("worker {core}"))
                .spawn(move || {
                    let outcome = run_on(&[core]).and_then(|()| worker(&arguments));
                    let _ = ended.send(outcome); // whoever comes second finds nobody waiting
                })?;
        }
        drop(ended);
        first.recv().map_err(io::Error::other)?
    }

    /// A listening socket of one worker's own; the kernel spreads connections over them.
    pub fn listener(&self) -> io::Result<TcpListener> {
        let socket = Socket::new(
            Domain::for_address(self.listen),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_tcp_nodelay(true)?; // accepted sockets inherit it
        socket.bind(&self.listen.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }
}

/// The cores that are still to be given to a worker.
#[derive(Clone)]
pub struct Pins {
    cores: Arc<[usize]>,
    next: Arc<AtomicUsize>,
}

impl Pins {
    /// Pins the calling worker to the next core.
    pub fn pin(&self) -> io::Result<()> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        run_on(&[self.cores[turn % self.cores.len()]])
    }
}

fn run_on(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        if core >= CpuSet::MAX_CPU {
            return Err(io::Error::other(format!("there is no core {core}")));
        }
        set.set(core);
    }
    sched_setaffinity(None, &set)
        .map_err(|error| io::Error::other(format!("cannot run on cores {cores:?}: {error}")))
}
