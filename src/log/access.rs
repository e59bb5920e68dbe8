//! `--access-log`: which requests have a line in the access log.

use crate::guard::RequestId;
use crate::metrics::Snapshot;

/// The target of its events.
pub(super) const TARGET: &str = "access";

/// What of it is a clause, for whoever got one wrong.
const GRAMMAR: &str = "off, or of all, errors, errors=STATUS, sample=RATE, route=NAME, except=NAME, query \
                       those that are meant, with commas";

/// Of the requests of the routes that are meant, those that failed and a sample of all; all of them where
/// neither is asked for.
///
/// Whether a request is of the sample is decided by its id alone, so that every host that a request passes
/// with its id decides alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// Of each request the least status with which it is logged, whatever the sample is.
    errors: Option<u16>,
    /// The part of all requests, from 0 to 1; 1 where there are neither errors nor a sample asked for.
    sample: f64,
    /// Only these; empty for all.
    only: Vec<String>,
    /// Not these.
    except: Vec<String>,
    /// With the query, which may hold what is nobody's business.
    pub(super) query: bool,
}

impl Access {
    /// What the flag says; `None` for no access log.
    pub fn parse(text: &str) -> Result<Option<Access>, String> {
        if matches!(text, "" | "off") {
            return Ok(None);
        }
        let mut access = Access::default();
        let (mut all, mut sample) = (false, None);
        for clause in text.split(',').map(str::trim) {
            let (word, value) = match clause.split_once('=') {
                Some((word, value)) => (word, Some(value)),
                None => (clause, None),
            };
            let repeated = match (word, value) {
                ("all", None) => std::mem::replace(&mut all, true),
                ("errors", status) => access.errors.replace(least_status(status)?).is_some(),
                ("sample", Some(rate)) => sample.replace(self::rate(rate)?).is_some(),
                ("route", Some(name)) if !name.is_empty() => add(&mut access.only, name),
                ("except", Some(name)) if !name.is_empty() => add(&mut access.except, name),
                ("query", None) => std::mem::replace(&mut access.query, true),
                _ => return Err(format!("{clause:?} is no part of it: {GRAMMAR}")),
            };
            if repeated {
                return Err(format!("{clause:?} comes twice"));
            }
        }
        if all && (sample.is_some() || access.errors.is_some()) {
            return Err("`all` leaves nothing to sample, and has the errors".to_owned());
        }
        if !access.only.is_empty() && !access.except.is_empty() {
            return Err(
                "`route` names those that are meant: the others need no `except`".to_owned(),
            );
        }
        access.sample = match (sample, access.errors) {
            (Some(rate), _) => rate,
            (None, Some(_)) => 0.0,
            (None, None) => 1.0,
        };
        Ok(Some(access))
    }

    /// A route that is named although there is none, with those that there are. `names` are those of
    /// [`Snapshot::names`].
    pub fn check(&self, names: &[String]) -> Result<(), String> {
        let mut named = self.only.iter().chain(&self.except);
        match named.find(|&name| !names.contains(name)) {
            None => Ok(()),
            Some(name) => {
                let built_in = Snapshot::BUILT_IN.join(", ");
                Err(format!(
                    "there is no route {name:?} (beside those of the file there are {built_in})"
                ))
            }
        }
    }

    /// For each of the routes whether its requests are meant.
    pub(super) fn routes(&self, names: &[String]) -> Vec<bool> {
        let meant = |name: &String| match self.only.is_empty() {
            true => !self.except.contains(name),
            false => self.only.contains(name),
        };
        names.iter().map(meant).collect()
    }

    /// Whether a request may come to be logged, of whose route and status nothing is known yet.
    pub(super) fn may_log(&self, id: &RequestId) -> bool {
        self.errors.is_some() || self.samples(id)
    }

    /// Whether a request of a route that is meant is logged.
    pub(super) fn logs(&self, id: &RequestId, status: u16) -> bool {
        self.errors.is_some_and(|least| status >= least) || self.samples(id)
    }

    fn samples(&self, id: &RequestId) -> bool {
        // 53 bits, which a float has without rounding: less than 1, so that a rate of 1 is all of them.
        let part = (spread(id.as_bytes()) >> 11) as f64 / (1u64 << 53) as f64;
        part < self.sample
    }
}

fn add(names: &mut Vec<String>, name: &str) -> bool {
    let known = names.iter().any(|known| known == name);
    names.push(name.to_owned());
    known
}

fn least_status(status: Option<&str>) -> Result<u16, String> {
    let Some(status) = status else {
        return Ok(400);
    };
    let number = status.parse().ok();
    number
        .filter(|number| (400..=599).contains(number))
        .ok_or_else(|| format!("errors={status}: a status from 400 to 599"))
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|rate| *rate > 0.0 && *rate <= 1.0)
        .ok_or_else(|| {
            format!("sample={text}: a part of all, more than 0 and at most 1, such as 0.01")
        })
}

/// FNV-1a (64 bits), and the end of MurmurHash3, which spreads ids that differ in their last character
/// alone. Never changed, as all versions that serve beside each other have to agree.
fn spread(id: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for octet in id {
        hash = (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn access(text: &str) -> Access {
        Access::parse(text).unwrap().unwrap()
    }

    fn ids() -> Vec<RequestId> {
        let wall = Duration::from_secs(1_766_893_001);
        (0..10_000).map(|_| RequestId::made(wall)).collect()
    }

    #[test]
    fn what_is_no_access_log_says_why() {
        assert_eq!(Access::parse("off"), Ok(None));
        assert_eq!(Access::parse(""), Ok(None));
        for (text, why) in [
            ("everything", "no part of it"),
            ("all,", "no part of it"),
            ("all=1", "no part of it"),
            ("route=", "no part of it"),
            ("sample", "no part of it"),
            ("off,all", "no part of it"),
            ("sample=0", "more than 0"),
            ("sample=1.01", "at most 1"),
            ("sample=NaN", "more than 0"),
            ("sample=1%", "more than 0"),
            ("errors=399", "from 400"),
            ("errors=600", "to 599"),
            ("errors=x", "from 400"),
            ("all,all", "comes twice"),
            ("sample=0.1,sample=0.2", "comes twice"),
            ("route=a,route=a", "comes twice"),
            ("all,errors", "nothing to sample"),
            ("all,sample=0.5", "nothing to sample"),
            ("route=a,except=b", "no `except`"),
        ] {
            let error = Access::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn errors_are_logged_beside_the_sample() {
        let rejected = ids()[0];
        let none = access("errors=500");
        assert!(none.may_log(&rejected) && none.logs(&rejected, 500));
        assert!(!none.logs(&rejected, 499) && !none.logs(&rejected, 200));
        assert!(access("errors").logs(&rejected, 400) && !access("errors").logs(&rejected, 399));
        for text in ["all", "route=a", "query", "except=a", "sample=1"] {
            assert!(ids().iter().all(|id| access(text).logs(id, 200)), "{text}");
        }
        let both = access("errors,sample=0.5");
        let sampled = ids().iter().filter(|id| both.logs(id, 200)).count();
        assert!((4_000..6_000).contains(&sampled), "{sampled}");
        assert!(ids().iter().all(|id| both.logs(id, 404)));
    }

    #[test]
    fn a_sample_is_as_large_as_it_is_said_to_be_and_grows_with_the_rate() {
        // Five standard deviations of a binomial distribution of 10,000.
        for (rate, least, most) in [(0.01, 50, 150), (0.1, 850, 1150), (0.5, 4750, 5250)] {
            let one = access(&format!("sample={rate}"));
            let ids = ids();
            let sampled: Vec<_> = ids.iter().filter(|id| one.may_log(id)).collect();
            assert!((least..=most).contains(&sampled.len()), "{}", sampled.len());
            // A host that samples more has all that one has that samples less.
            let more = access(&format!("sample={}", rate * 2.0));
            assert!(sampled.iter().all(|id| more.may_log(id)));
        }
    }

    #[test]
    fn ids_of_the_same_kind_are_spread() {
        let numbered: Vec<u64> = (0..10_000)
            .map(|number| spread(format!("req-{number:06}").as_bytes()))
            .collect();
        for bit in 0..64 {
            let set = numbered.iter().filter(|hash| *hash >> bit & 1 == 1).count();
            assert!((4750..=5250).contains(&set), "bit {bit}: {set}");
        }
        // For good: other versions decide by the same number.
        assert_eq!(spread(b""), 0xefd0_1f60_ba99_2926);
    }

    #[test]
    fn routes_are_named_or_left_out() {
        let names = Snapshot::names(["a", "b"].into_iter());
        let meant = |text: &str| access(text).routes(&names);
        assert_eq!(meant("all"), [true; 5]);
        assert_eq!(
            meant("route=b,route=/ready"),
            [false, true, false, true, false]
        );
        assert_eq!(
            meant("except=/health,except=a"),
            [false, true, false, true, true]
        );
        assert_eq!(access("route=a,sample=0.1").check(&names), Ok(()));
        assert_eq!(access("except=(unmatched)").check(&names), Ok(()));
        let error = access("except=c").check(&names).unwrap_err();
        assert!(
            error.contains("\"c\"") && error.contains("/health"),
            "{error}"
        );
    }
}
