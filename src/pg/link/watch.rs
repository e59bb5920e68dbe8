//! Looks after the silence of connections, and after what waits behind them for too long.

use std::rc::Rc;

use super::super::lane::Lane;
use super::super::{Database, batch, connect};
use super::{Link, WATCH_INTERVAL};
use crate::limits;

/// Ends connections that have statements in flight and have been silent for far longer than a
/// statement may run: the server is frozen or the network is cut. Refuses requests that have waited for
/// too long behind them.
pub(in crate::pg) async fn watch(database: Rc<Database>, lane: Rc<Lane>) {
    let ring = &database.ring;
    loop {
        let before = ring.now();
        ring.sleep(WATCH_INTERVAL).await;
        lane.refuse_waiting();
        database.log_sheds(&lane);
        // A core that stood still has not heard what has arrived meanwhile: it will by the next look.
        if ring.now() - before > 4 * WATCH_INTERVAL {
            continue;
        }
        for &route in &lane.routes {
            database.routes[route].batcher.refuse_late(ring.now());
            batch::relieve(&database, route);
        }
        for link in lane.links() {
            let silent = link.silent(ring.now());
            if lane.statement_timeout.is_zero() {
                if silent > limits::SILENCE_ASKED_AFTER && !link.in_doubt.replace(true) {
                    ring.spawn(ask_after(database.clone(), link.clone()));
                }
            } else if silent > lane.statement_timeout + limits::SILENCE_GRACE {
                link.kill(SILENT);
            }
        }
    }
}

/// Why a connection is given up that may be open for all that the kernel knows.
const SILENT: &str = "the connection was silent for too long";

/// Asks the server of a silent connection for another one. A statement may run for as long as it likes
/// where there is no timeout, but a server that doesn't answer even this is frozen or out of reach.
async fn ask_after(database: Rc<Database>, link: Rc<Link>) {
    let ring = &database.ring;
    while let Some(session) = link.session() {
        let answers = connect::answers(ring, &database.target, &session.host).await;
        // It may have been heard of meanwhile, or replaced.
        if link.silent(ring.now()) <= limits::SILENCE_ASKED_AFTER {
            break;
        }
        if !answers {
            link.lose(&session, SILENT);
            break;
        }
        drop(session);
        ring.sleep(limits::SILENCE_ASKED_AFTER).await;
    }
    link.in_doubt.set(false);
}
