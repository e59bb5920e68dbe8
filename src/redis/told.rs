//! What the log is told of decisions that could not be had: each cause once when it begins, and then, as
//! long as it goes on, how often it came again.

use std::cell::{Cell, RefCell};

use crate::limits;

/// The causes of the present interval, and of the last one if they went on.
#[derive(Default)]
pub(super) struct Told {
    causes: RefCell<Vec<Cause>>,
    /// Failures for whose causes there was no room.
    others: Cell<u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) what: String,
    /// How often it came since the log was last told.
    pub(super) again: u64,
}

impl Told {
    /// Takes note of a failure. True when the log is to be told of it now.
    pub(super) fn is_news(&self, what: &str) -> bool {
        let mut causes = self.causes.borrow_mut();
        if let Some(cause) = causes.iter_mut().find(|cause| cause.what == what) {
            cause.again += 1;
            return false;
        }
        if causes.len() >= limits::CAUSES_TOLD_MAX {
            self.others.set(self.others.get() + 1);
            return false;
        }
        causes.push(Cause {
            what: what.to_owned(),
            again: 0,
        });
        true
    }

    /// Ends the interval: the causes that came again in it, and the number of failures that were not told
    /// apart. A cause that did not come again is forgotten, and news when it next comes.
    pub(super) fn end_interval(&self) -> (Vec<Cause>, u64) {
        let mut causes = self.causes.borrow_mut();
        causes.retain(|cause| cause.again > 0);
        let repeated = causes.iter_mut().map(|cause| Cause {
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
        assert!(told.is_news("late") && told.is_news("OOM"));
        assert!(!told.is_news("late") && !told.is_news("late"));
        let repeated = Cause {
            what: "late".to_owned(),
            again: 2,
        };
        assert_eq!(told.end_interval(), (vec![repeated], 0));
        assert!(told.is_news("OOM") && !told.is_news("late"));
    }

    #[test]
    fn causes_are_bounded() {
        let told = Told::default();
        for number in 0..limits::CAUSES_TOLD_MAX {
            assert!(told.is_news(&number.to_string()));
        }
        assert!(!told.is_news("one more"));
        assert_eq!(told.end_interval(), (Vec::new(), 1));
        assert!(told.is_news("one more"));
    }
}
