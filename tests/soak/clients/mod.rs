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

/// One client at work until the soak is over, under a name of its own.
type Client = fn(&Soak, &str);

/// Every kind of client, and how many of them there are.
///
/// A client that speaks TLS belongs here, with a `Line` over it.
const CLIENTS: &[(&str, usize, Client)] = &[
    ("pulse", 1, pulse::ask_health),
    ("mixed", 6, mixed::pipeline),
    ("writer", 3, writing::write_in_sequence),
    ("transfer", 2, writing::transfer),
    ("overdue", 1, mixed::ask_overdue),
    ("deep", 1, mixed::pipeline_deeply),
    ("malformed", 1, malformed::send_malformed),
    ("noise", 1, noise::send_noise),
    ("trickle", 2, slow::trickle),
    ("late", 2, slow::come_late),
    ("idle", 1, slow::stay_idle),
    ("deaf", 1, slow::stop_reading),
    ("leaver", 1, leaving::come_and_go),
    ("canceller", 2, leaving::abandon),
];

/// The running clients.
pub struct Clients(Vec<(String, JoinHandle<()>)>);

impl Clients {
    pub fn start(soak: &Arc<Soak>) -> Clients {
        let mut clients = Vec::new();
        for (kind, count, client) in CLIENTS {
            for number in 0..*count {
                let name = format!("{kind}{number}");
                let thread = std::thread::Builder::new().name(name.clone());
                let run = {
                    let (soak, name) = (soak.clone(), name.clone());
                    move || client(&soak, &name)
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
