//! The faults that are injected, and their timetable.

use std::time::Duration;

use crate::support::random::Random;

/// Everything that is done to Postgres, to the way there, to the machine and to the server as a whole.
/// What single clients do wrong goes on all the time and is in `clients`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// One backend is terminated.
    EndOne,
    /// All backends are terminated at once.
    EndAll,
    /// Postgres is stopped as by a crash, is away for a while, and recovers.
    Crash,
    /// Postgres is stopped in order and started again.
    Restart,
    /// All of Postgres stands still, for less than a statement may take.
    FreezeShort,
    /// All of Postgres stands still, for so long that its connections are taken for dead.
    FreezeLong,
    /// One backend stands still for as long.
    FreezeOne,
    /// Postgres refuses connections: there are too many.
    TooMany,
    /// The counters are locked, for less than a statement may take.
    LockShort,
    /// The counters are locked for longer than a statement may take.
    LockLong,
    /// A column comes and goes under prepared statements.
    AddColumn,
    /// The key of a table changes its type, and back.
    ChangeType,
    /// A table is away for a while.
    RenameTable,
    /// One reply of Postgres is cut in the middle.
    CutOne,
    /// Many replies are cut in the middle.
    CutMany,
    /// More requests at once than may be in flight.
    Overload,
    /// More connections at once than may be open.
    Crowd,
    /// Others compute on the server's cores.
    Hog,
    /// The server gets no more descriptors.
    Descriptors,
    /// The server itself is stopped for a while.
    Halt,
    /// The server's certificate is replaced.
    Renewal,
}

impl Fault {
    pub const ALL: [Fault; 21] = [
        Fault::EndOne,
        Fault::EndAll,
        Fault::Crash,
        Fault::Restart,
        Fault::FreezeShort,
        Fault::FreezeLong,
        Fault::FreezeOne,
        Fault::TooMany,
        Fault::LockShort,
        Fault::LockLong,
        Fault::AddColumn,
        Fault::ChangeType,
        Fault::RenameTable,
        Fault::CutOne,
        Fault::CutMany,
        Fault::Overload,
        Fault::Crowd,
        Fault::Hog,
        Fault::Descriptors,
        Fault::Halt,
        Fault::Renewal,
    ];

    /// For the log and the picture.
    pub fn name(self) -> &'static str {
        match self {
            Fault::EndOne => "one backend ended",
            Fault::EndAll => "all backends ended",
            Fault::Crash => "Postgres crashed",
            Fault::Restart => "Postgres restarted",
            Fault::FreezeShort => "Postgres frozen, shortly",
            Fault::FreezeLong => "Postgres frozen, for long",
            Fault::FreezeOne => "one backend frozen",
            Fault::TooMany => "connections refused",
            Fault::LockShort => "table locked, shortly",
            Fault::LockLong => "table locked, for long",
            Fault::AddColumn => "column added, dropped",
            Fault::ChangeType => "key type changed",
            Fault::RenameTable => "table renamed away",
            Fault::CutOne => "one reply cut",
            Fault::CutMany => "many replies cut",
            Fault::Overload => "requests past the bound",
            Fault::Crowd => "connections past the bound",
            Fault::Hog => "cores shared with hogs",
            Fault::Descriptors => "no descriptors",
            Fault::Halt => "server stopped (SIGSTOP)",
            Fault::Renewal => "certificate replaced",
        }
    }

    /// Whether more than ever is under way because of it, or takes longer than ever, which histograms grow by.
    fn takes_memory(self) -> bool {
        matches!(
            self,
            Fault::Overload | Fault::Crowd | Fault::FreezeLong | Fault::LockLong
        )
    }

    /// How long it lasts, from the least to the most milliseconds; recovery comes on top.
    fn lasts(self) -> (usize, usize) {
        match self {
            Fault::EndOne | Fault::EndAll | Fault::CutOne | Fault::Renewal => (50, 50),
            Fault::Crash | Fault::Restart => (300, 2500),
            Fault::FreezeShort | Fault::LockShort => (400, 1500),
            // The statement timeout of 4 s and the grace of 2 s are over then.
            Fault::FreezeLong | Fault::FreezeOne => (7000, 8000),
            Fault::LockLong => (5000, 6000),
            Fault::TooMany => (1000, 3000),
            Fault::AddColumn | Fault::ChangeType | Fault::RenameTable => (300, 1500),
            Fault::CutMany | Fault::Overload | Fault::Crowd => (1000, 2000),
            Fault::Hog => (1500, 3500),
            Fault::Descriptors => (1000, 2500),
            // Less than what clients may take for a head.
            Fault::Halt => (300, 1200),
        }
    }
}

/// One line of the timetable.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// From the start of the clients; later when the fault before it took longer.
    pub at: Duration,
    pub fault: Fault,
    pub lasts: Duration,
    /// A fault of the machine at the same time.
    pub company: Option<Fault>,
}

/// Of 100 faults, those that come in company.
const COMPANY_PERCENT: usize = 25;

/// Without faults at the start and at the end: baselines are taken there.
const QUIET: Duration = Duration::from_secs(5);

/// What recovery is expected to take at the most; it is waited for however long it takes.
const RECOVERY: Duration = Duration::from_millis(2500);

/// The timetable of a seed: all faults in some order, then all of them in another one, each with quiet
/// around it. Those that make it take more memory come first of all: what they leave is to be there before
/// the second quarter of the run, by which its memory is judged.
pub fn timetable(seed: u64, duration: Duration) -> Vec<Event> {
    let mut random = Random::stream(seed, "timetable");
    let mut deck: Vec<Fault> = Vec::new();
    let mut events = Vec::new();
    let mut at = QUIET;
    loop {
        if deck.is_empty() {
            deck = Fault::ALL.to_vec();
            random.shuffle(&mut deck);
            if events.is_empty() {
                deck.sort_by_key(|fault| fault.takes_memory());
            }
        }
        let fault = deck.pop().expect("it was filled");
        let (least, most) = fault.lasts();
        let company = Some(*random.pick(&[Fault::Hog, Fault::Descriptors]))
            .filter(|other| *other != fault && random.percent(COMPANY_PERCENT))
            // The crowd's idle connections would have every descriptor that is left, for as long as it
            // waits for its turn.
            // Certificates can't be read without one.
            .filter(|other| {
                !matches!(fault, Fault::Crowd | Fault::Renewal) || *other != Fault::Descriptors
            });
        let lasts = random.millis(least, most);
        let next = at + lasts + RECOVERY + random.millis(1000, 2500);
        if next + QUIET > duration {
            return events;
        }
        events.push(Event {
            at,
            fault,
            lasts,
            company,
        });
        at = next;
    }
}
