//! What a core counts, and what it has at the moment.

/// Why a client's connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The client closed it, or asked for its end.
    Client,
    /// It was idle for `--keep-alive`.
    Idle,
    /// The client took too long to send or to read.
    Deadline,
    /// What it sent was refused for good: a fault of framing, or a refusal that closes.
    Refused,
    /// A handshake of TLS failed.
    Handshake,
    /// It was reset, or failed otherwise.
    Failed,
    /// The server was stopping.
    Drain,
}

impl Closed {
    /// All of them, in their order.
    pub const ALL: [Closed; 7] = [
        Closed::Client,
        Closed::Idle,
        Closed::Deadline,
        Closed::Refused,
        Closed::Handshake,
        Closed::Failed,
        Closed::Drain,
    ];

    /// As labels of metrics say it.
    pub fn name(self) -> &'static str {
        match self {
            Closed::Client => "client",
            Closed::Idle => "idle",
            Closed::Deadline => "deadline",
            Closed::Refused => "refused",
            Closed::Handshake => "handshake",
            Closed::Failed => "failed",
            Closed::Drain => "drain",
        }
    }
}

/// What has happened: since the last snapshot in one, since the start in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Client connections that were accepted.
    pub accepted: u64,
    /// Client connections that ended, by [`Closed`].
    pub closed: [u64; Closed::ALL.len()],
    /// Times that an accepting listener had no place for one more.
    pub full: u64,
    /// Bytes received from clients and from Postgres, as the sockets carried them.
    pub bytes_received: u64,
    /// Bytes sent to them.
    pub bytes_sent: u64,
    /// Postgres sessions that were opened.
    pub postgres_opened: u64,
    /// Postgres sessions that were lost.
    pub postgres_lost: u64,
    /// Attempts to open one that failed.
    pub postgres_refused: u64,
    /// Statements that were sent once more.
    pub retries: u64,
    /// Requests that were answered 429.
    pub rate_limited: u64,
    /// Rate limits that could not be decided on, as the store did not answer.
    pub store_failures: u64,
    /// Requests that were answered 401.
    pub unauthorized: u64,
    /// Requests that were answered 403.
    pub forbidden: u64,
    /// Panics that were answered 500.
    pub panics: u64,
    /// Passes of the core's ring.
    pub passes: u64,
    /// Time that the core did not wait in the kernel, in nanoseconds.
    pub busy_nanos: u64,
}

impl Counters {
    /// Adds what the other has.
    pub fn add(&mut self, other: &Counters) {
        for (mine, other) in self.closed.iter_mut().zip(&other.closed) {
            *mine += other;
        }
        self.accepted += other.accepted;
        self.full += other.full;
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
        self.postgres_opened += other.postgres_opened;
        self.postgres_lost += other.postgres_lost;
        self.postgres_refused += other.postgres_refused;
        self.retries += other.retries;
        self.rate_limited += other.rate_limited;
        self.store_failures += other.store_failures;
        self.unauthorized += other.unauthorized;
        self.forbidden += other.forbidden;
        self.panics += other.panics;
        self.passes += other.passes;
        self.busy_nanos += other.busy_nanos;
    }
}

/// What a core has at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Client connections that are open.
    pub connections: u64,
    /// Requests that are being answered from Postgres.
    pub in_flight: u64,
    /// Requests that wait for a place on a connection, or for the next batch, by lane.
    pub queued: Vec<(String, u64)>,
    /// Postgres connections with a session.
    pub postgres_open: u64,
    /// Postgres connections that are being opened.
    pub postgres_opening: u64,
    /// Routes that can't be served, as their statements don't prepare.
    pub broken_routes: u64,
    /// Why it can't answer some request now, as `/ready` says it.
    pub faults: Vec<String>,
}
