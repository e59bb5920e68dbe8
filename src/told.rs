//! What the log is told of what fails again and again: each cause at once and in its words, and then, as
//! long as it goes on, how often it came again. An outage is a line for each cause and interval, not one
//! for each request.

use std::cell::{Cell, RefCell};

use crate::limits;

/// The causes of the present interval, and of the last one if they went on. `S` is what failed, where
/// there are several of them.
pub struct Told<S> {
    causes: RefCell<Vec<Cause<S>>>,
    /// Failures for whose causes there was no room.
    others: Cell<u64>,
}

/// What went wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Cause<S> {
    /// With whom.
    pub subject: S,
    /// An error's code, or a word of ours.
    pub what: String,
    /// How often it came since the log was last told.
    pub again: u64,
}

impl<S> Default for Told<S> {
    fn default() -> Told<S> {
        Told {
            causes: RefCell::default(),
            others: Cell::default(),
        }
    }
}

impl<S: Copy + PartialEq> Told<S> {
    /// Takes note of a failure. True when the log is to be told of it now.
    pub fn is_news(&self, subject: S, what: &str) -> bool {
        let mut causes = self.causes.borrow_mut();
        let mut known = causes.iter_mut();
        if let Some(cause) = known.find(|cause| cause.subject == subject && cause.what == what) {
            cause.again += 1;
            return false;
        }
        if causes.len() >= limits::CAUSES_TOLD_MAX {
            self.others.set(self.others.get() + 1);
            return false;
        }
        causes.push(Cause {
            subject,
            what: what.to_owned(),
            again: 0,
        });
        true
    }

    /// Ends the interval: the causes that came again in it, and the number of failures that were not
    /// told apart. A cause that did not come again is forgotten, and news when it next comes.
    pub fn end_interval(&self) -> (Vec<Cause<S>>, u64) {
        let mut causes = self.causes.borrow_mut();
        causes.retain(|cause| cause.again > 0);
        let repeated = causes.iter_mut().map(|cause| Cause {
            subject: cause.subject,
            what: cause.what.clone(),
            again: std::mem::take(&mut cause.again),
        });
        (repeated.collect(), self.others.take())
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
                subject: 1,
                again: 5,
                ..
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

    #[test]
    fn of_one_alone_only_the_cause_counts() {
        let told = Told::default();
        assert!(told.is_news((), "late") && told.is_news((), "OOM"));
        assert!(!told.is_news((), "late") && !told.is_news((), "late"));
        let repeated = Cause {
            subject: (),
            what: "late".to_owned(),
            again: 2,
        };
        assert_eq!(told.end_interval(), (vec![repeated], 0));
        assert!(told.is_news((), "OOM") && !told.is_news((), "late"));
    }
}
