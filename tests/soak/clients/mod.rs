//! The clients: well-behaved ones, whose every answer is right, and all kinds of others beside them.

mod leaving;
mod malformed;
mod mixed;
mod noise;
mod pulse;
mod slow;
mod writing;

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::Soak;
use crate::asks::Asks;
use crate::ways::Way;

/// One client at work until the soak is over, with requests and a name of its own.
type Client = fn(Asks<'_>);

/// Every kind of client, and how many of them there are: that speak plainly, and over TLS.
const CLIENTS: &[(&str, usize, usize, Client)] = &[
    ("pulse", 1, 1, pulse::ask_health),
    ("mixed", 4, 3, mixed::pipeline),
    ("writer", 2, 1, writing::write_in_sequence),
    ("transfer", 1, 1, writing::transfer),
    ("limited", 1, 1, mixed::ask_limited),
    ("overdue", 1, 0, mixed::ask_overdue),
    ("deep", 1, 1, mixed::pipeline_deeply),
    ("malformed", 1, 1, malformed::send_malformed),
    ("noise", 1, 1, noise::send_noise),
    ("trickle", 1, 1, slow::trickle),
    ("late", 1, 1, slow::come_late),
    ("idle", 1, 1, slow::stay_idle),
    ("deaf", 1, 1, slow::stop_reading),
    ("leaver", 1, 1, leaving::come_and_go),
    ("canceller", 1, 1, leaving::abandon),
    ("tls-starter", 0, 1, leaving::leave_handshakes),
    ("tls-late", 0, 1, slow::come_late_with_a_handshake),
];

/// The running clients.
pub struct Clients(Vec<(String, JoinHandle<()>)>);

impl Clients {
    pub fn start(soak: &Arc<Soak>) -> Clients {
        let mut clients = Vec::new();
        for (kind, plain, encrypted, client) in CLIENTS {
            for number in 0..plain + encrypted {
                let name = format!("{kind}{number}");
                let way = match number < *plain {
                    true => Way::Plain,
                    false => Way::Tls,
                };
                let thread = std::thread::Builder::new().name(name.clone());
                let run = {
                    let (soak, name) = (soak.clone(), name.clone());
                    move || client(Asks::new(&soak, &name, way))
                };
                clients.push((name, thread.spawn(run).expect("a thread")));
            }
        }
        Clients(clients)
    }

    /// Waits for all of them; they end by themselves when the soak is over.
    pub fn join(self, soak: &Soak) {
        for (name, thread) in self.0 {
            if thread.join().is_err() {
                soak.ledger.wrong_fact(&format!("client {name} panicked"));
            }
        }
    }
}
