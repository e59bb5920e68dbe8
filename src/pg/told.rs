//! What the log is told of statements that fail.

use std::rc::Rc;

use super::Database;
use crate::limits;
use crate::told::Cause;

impl Database {
    /// Has `line` tell the log of a route's failure, unless it has been told of that cause. `line` is
    /// given the route's name. Which request it was that failed is said of the first alone: the others
    /// say it themselves where the log is told of each (`--log debug`, the access log).
    pub(super) fn tell(&self, route: usize, what: &str, line: impl FnOnce(&str)) {
        if self.told.is_news(route, what) {
            line(&self.api.routes[route].name);
        }
    }

    /// Tells the log how often each cause came again.
    pub(super) fn tell_repeated(&self) {
        let (causes, others) = self.told.end_interval();
        for Cause {
            subject: route,
            what,
            again,
        } in causes
        {
            let name = &self.api.routes[route].name;
            tracing::error!(route = name, cause = what, again, "statement failed again");
        }
        if others > 0 {
            tracing::error!(again = others, "statements failed for other causes");
        }
    }
}

/// Tells the log from time to time.
pub(super) async fn keep_telling(database: Rc<Database>) {
    loop {
        database.ring.sleep(limits::TELL_AGAIN).await;
        database.tell_repeated();
    }
}
