//! What the log is told of statements that fail: each cause at once and in its words, and then, as long
//! as it goes on, how often it came again. An outage is a line for each cause and interval, not one for
//! each request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::Database;
use crate::limits;

/// The causes of the present interval, and of the last one if they went on.
#[derive(Default)]
pub(super) struct Told {
    causes: RefCell<Vec<Cause>>,
    /// Failures for whose causes there was no room.
    others: Cell<u64>,
}

/// What went wrong with a route.
#[derive(Debug, PartialEq, Eq)]
struct Cause {
    route: usize,
    /// A SQLSTATE, or a word of ours.
    what: String,
    /// How often it came since the log was last told.
    again: u64,
}

impl Told {
    /// Takes note of a failure. True when the log is to be told of it now.
    fn is_news(&self, route: usize, what: &str) -> bool {
        let mut causes = self.causes.borrow_mut();
        let mut known = causes.iter_mut();
        if let Some(cause) = known.find(|cause| cause.route == route && cause.what == what) {
            cause.again += 1;
            return false;
        }
        if causes.len() >= limits::CAUSES_TOLD_MAX {
            self.others.set(self.others.get() + 1);
            return false;
        }
        causes.push(Cause {
            route,
            what: what.to_owned(),
            again: 0,
        });
        true
    }

    /// Ends the interval: the causes that came again in it, and the number of failures that were not
    /// told apart. A cause that did not come again is forgotten, and news when it next comes.
    fn end_interval(&self) -> (Vec<Cause>, u64) {
        let mut causes = self.causes.borrow_mut();
        causes.retain(|cause| cause.again > 0);
        let repeated = causes.iter_mut().map(|cause| Cause {
            route: cause.route,
            what: cause.what.clone(),
            again: std::mem::take(&mut cause.again),
        });
        (repeated.collect(), self.others.take())
    }
}

impl Database {
    /// Has `line` tell the log of a route's failure, unless it has been told of that cause. `line` is
    /// given the route's name.
    pub(super) fn tell(&self, route: usize, what: &str, line: impl FnOnce(&str)) {
        if self.told.is_news(route, what) {
            line(&self.api.routes[route].name);
        }
    }

    /// Tells the log how often each cause came again.
    pub(super) fn tell_repeated(&self) {
        let (causes, others) = self.told.end_interval();
        for Cause { route, what, again } in causes {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_news_once_and_counted_while_it_goes_on() {
        let told = Told::default();
        assert!(told.is_news(1, "57014"));
        assert!(told.is_news(2, "57014") && told.is_news(1, "53100"));
        for _ in 0..5 {
            assert!(!told.is_news(1, "57014"));
        }
        let (causes, others) = told.end_interval();
        let [
            Cause {
                route: 1, again: 5, ..
            },
        ] = &causes[..]
        else {
            panic!("{causes:?}");
        };
        assert_eq!(others, 0);
        // The others have not come again: they are news when they do. The one that has is not.
        assert!(told.is_news(2, "57014") && !told.is_news(1, "57014"));
        assert_eq!(told.end_interval().0.len(), 1);
        assert_eq!(told.end_interval().0, []);
        assert!(told.is_news(1, "57014"));
    }

    #[test]
    fn causes_are_bounded() {
        let told = Told::default();
        for number in 0..limits::CAUSES_TOLD_MAX {
            assert!(told.is_news(0, &number.to_string()));
        }
        assert!(!told.is_news(0, "one more") && !told.is_news(0, "and one"));
        assert_eq!(told.end_interval(), (Vec::new(), 2));
        assert!(told.is_news(0, "one more"));
    }
}
