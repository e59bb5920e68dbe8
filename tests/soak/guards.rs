//! The guards of the soak: who asks, from which page, and how often; and what every answer has to say of it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::Soak;
use crate::asks::{Ask, Asks};
use crate::ledger::Ledger;
use crate::support::Response;
use crate::talk::{Manner, connect, round};
use crate::ways::Way;

/// What tokens are signed with, and what others sign theirs with.
pub const SECRET: &str = "the secret of the soak, which is long enough";
const OTHER_SECRET: &str = "the secret of somebody else, as long as that";

/// Each client belongs to one of them, and may see what is theirs.
pub const TENANTS: [&str; 3] = ["t0", "t1", "t2"];

/// Paths below which a token is asked for: half of the routes.
const GUARDED: [&str; 12] = [
    "/items/",
    "/slugs/",
    "/marks/",
    "/alone/",
    "/look-up",
    "/bulky/",
    "/changing/",
    "/counters/",
    "/tokens/",
    "/refusals/",
    "/reservations/",
    "/owned/",
];

/// Paths below which requests are counted, and by which rule.
const LIMITED: [(&str, &str); 3] = [
    ("/slugs/", "generous"),
    ("/tags/", "generous"),
    ("/scarce/", "scarce"),
];

/// The rule that is reached: so many at once, and then one in each of these.
pub const BURST: usize = 20;
const INTERVAL: Duration = Duration::from_millis(100);

/// Of pages that are let in, and that are not.
const ORIGINS: [&str; 2] = ["https://shop.soak.example", "http://localhost:3000"];
const FOREIGN: [&str; 3] = ["https://soak.example", "https://evil.example", "null"];

/// What an answer has to say beside what it answers.
#[derive(Clone, Copy, Default)]
pub struct Marks {
    /// The page that may read it.
    pub origin: Option<&'static str>,
    /// Whether its route asks who asks.
    pub guarded: bool,
    /// The rule that counts it.
    pub limit: Option<&'static str>,
}

impl Marks {
    pub fn of(method: &str, target: &str, origin: &'static str) -> Marks {
        let is_routed = ["GET", "POST", "PUT"].contains(&method);
        let limit = LIMITED.iter().find(|(path, _)| target.starts_with(path));
        Marks {
            origin: ORIGINS.contains(&origin).then_some(origin),
            guarded: is_routed && GUARDED.iter().any(|path| target.starts_with(path)),
            limit: limit.filter(|_| is_routed).map(|(_, rule)| *rule),
        }
    }
}

impl Asks<'_> {
    /// Where the page is that asks; mostly there is none.
    pub fn origin(&mut self) -> &'static str {
        match self.random.below(10) {
            0..7 => "",
            7..9 => self.random.pick::<&str>(&ORIGINS),
            _ => self.random.pick::<&str>(&FOREIGN),
        }
    }

    /// Lines that prove nothing, in place of the token.
    pub fn no_credential(&mut self) -> String {
        let claims = |expires| {
            let tenant = self.tenant;
            format!(r#"{{"tenant":"{tenant}","role":"soak_agent","exp":{expires}}}"#)
        };
        let bearer = |token: String| format!("Authorization: Bearer {token}\r\n");
        let sign = pinion::demo::tokens::sign;
        match self.random.below(6) {
            0 => String::new(),
            1 => bearer(sign(OTHER_SECRET, &claims(4_102_444_800_u64))),
            2 => bearer(sign(SECRET, &claims(1_000_000_000))),
            3 => bearer("a.b.c".to_owned()),
            4 => "Authorization: Basic c29hazpzb2Fr\r\n".to_owned(),
            _ => self.credential.repeat(2),
        }
    }
}

/// The line with a token that is good for all of the soak.
pub fn credential(tenant: &str) -> String {
    let claims = format!(r#"{{"tenant":"{tenant}","role":"soak_agent","exp":4102444800}}"#);
    let token = pinion::demo::tokens::sign(SECRET, &claims);
    format!("Authorization: Bearer {token}\r\n")
}

/// What is said beside the answer.
pub fn judge(marks: &Marks, response: &Response) -> Result<(), String> {
    let is = |name: &str, expected: Option<&str>| match response.field(name) == expected {
        true => Ok(()),
        false => Err(format!("{name} is to be {expected:?}")),
    };
    is("access-control-allow-origin", marks.origin)?;
    if !response
        .field("vary")
        .is_some_and(|vary| vary.starts_with("origin"))
    {
        return Err("it depends on the origin, and vary does not say so".to_owned());
    }
    is("x-content-type-options", Some("nosniff"))?;
    is("cache-control", marks.guarded.then_some("no-store"))?;
    if response.status == 401 && response.field("www-authenticate").is_none() {
        return Err("a 401 without WWW-Authenticate".to_owned());
    }
    // What could not be decided on says nothing.
    match (marks.limit, response.field("ratelimit")) {
        (_, None) => Ok(()),
        (Some(rule), Some(state)) if state.starts_with(&format!("\"{rule}\";r=")) => Ok(()),
        (_, Some(state)) => Err(format!("ratelimit is {state}")),
    }
}

/// The words of a request that could not be decided on.
pub const UNDECIDED: &str = "503 The rate limit can't be checked";

/// What is known of the rule that is reached.
#[derive(Default)]
pub struct Limit(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// When the first of them was sent, and the last one answered.
    from: Option<Instant>,
    until: Option<Instant>,
    admitted: usize,
    refused: usize,
}

impl Limit {
    /// A request was answered: let in, or refused.
    pub fn note(&self, from: Instant, until: Instant, admitted: bool) {
        let mut counts = self.0.lock().expect("nobody panics while holding it");
        counts.from = Some(counts.from.map_or(from, |first| first.min(from)));
        counts.until = counts.until.max(Some(until));
        match admitted {
            true => counts.admitted += 1,
            false => counts.refused += 1,
        }
    }

    /// Requests that were let in, and that were refused.
    pub fn counts(&self) -> (usize, usize) {
        let counts = self.0.lock().expect("nobody panics while holding it");
        (counts.admitted, counts.refused)
    }

    /// Of all of them not one more was let in than the rule says, whatever happened meanwhile.
    pub fn verify(&self, ledger: &Ledger) {
        let counts = self.0.lock().expect("nobody panics while holding it");
        let (Some(from), Some(until)) = (counts.from, counts.until) else {
            return ledger.wrong_fact("nobody asked for what is limited");
        };
        let (admitted, most) = (counts.admitted, most(until - from));
        if admitted > most {
            ledger.wrong_fact(&format!("{admitted} were let in, {most} at the most"));
        }
    }
}

/// How many are let in within this time.
fn most(time: Duration) -> usize {
    BURST + (time.as_nanos() / INTERVAL.as_nanos()) as usize
}

/// With all others gone and the rule at rest: of many at once exactly the burst, and what comes back
/// meanwhile.
pub fn check_burst(soak: &Soak) {
    let mut asks = Asks::new(soak, "burst", Way::Plain);
    let Some(mut line) = connect(&mut asks) else {
        return;
    };
    std::thread::sleep(INTERVAL * (BURST as u32 + 2));
    let batch: Vec<Ask> = (0..10 * BURST).map(|_| asks.scarce()).collect();
    let (before, _) = soak.limit.counts();
    let from = Instant::now();
    round(soak, &mut line, &batch, &mut asks.random, Manner::default());
    let most = most(from.elapsed());
    let admitted = soak.limit.counts().0 - before;
    if !(BURST..=most).contains(&admitted) {
        let what = format!("{admitted} of a burst were let in, {BURST} to {most} are right");
        soak.ledger.wrong_fact(&what);
    }
}
