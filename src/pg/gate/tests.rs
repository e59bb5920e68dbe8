use std::collections::VecDeque;

use super::*;

const TARGET: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(1);
const LEAST_ROOM: usize = 8;

/// A gate in front of a Postgres that answers `capacity` requests a second in order, in steps of a
/// millisecond. Those that an overload finds too many are refused.
struct Model {
    gate: Rc<Gate>,
    start: Instant,
    now: Instant,
    inside: VecDeque<(Instant, Admitted)>,
    due: f64,
    credit: f64,
    /// How long each answered request was inside.
    stays: Vec<Duration>,
    refused: usize,
    late: usize,
}

impl Model {
    fn new() -> Model {
        let start = Instant::now();
        Model {
            gate: Gate::new(TARGET, PATIENCE, LEAST_ROOM, start),
            start,
            now: start,
            inside: VecDeque::new(),
            due: 0.0,
            credit: 0.0,
            stays: Vec::new(),
            refused: 0,
            late: 0,
        }
    }

    fn come(&mut self, count: usize, company: usize) -> usize {
        let mut let_in = 0;
        for _ in 0..count {
            match self.gate.admit(self.now, company + let_in) {
                Ok(admitted) => {
                    self.inside.push_back((self.now, admitted));
                    let_in += usize::from(company > 0);
                }
                Err(failure) => {
                    assert!(failure.retry_after().is_some_and(|it| it >= 1));
                    self.refused += 1;
                }
            }
            for _ in 0..self.gate.take_excess() {
                let Some((_, admitted)) = self.inside.pop_front() else {
                    break;
                };
                admitted.end(self.now, Some(&self.gate.overloaded()));
                self.late += 1;
            }
        }
        let_in
    }

    /// Runs for a while at so many requests a second, of which so many can be answered.
    fn run(&mut self, milliseconds: u32, rate: f64, capacity: f64) {
        for _ in 0..milliseconds {
            self.now += STEP;
            self.due += rate / 1000.0;
            let count = self.due as usize;
            self.due -= count as f64;
            self.come(count, 0);
            self.answer(capacity);
        }
    }

    fn answer(&mut self, capacity: f64) {
        self.credit += capacity / 1000.0;
        while self.credit >= 1.0 {
            self.credit -= 1.0;
            let Some((since, admitted)) = self.inside.pop_front() else {
                self.credit = 0.0; // what is not used is lost
                return;
            };
            self.gate.note_round_trip(STEP.max(self.now - since));
            self.stays.push(self.now - since);
            admitted.end(self.now, None);
        }
    }

    /// The longest stay of those answered since the last look, their number, and that of the refused.
    fn look(&mut self) -> (Duration, usize, usize) {
        let stays = std::mem::take(&mut self.stays);
        let longest = stays.iter().max().copied().unwrap_or_default();
        (longest, stays.len(), std::mem::take(&mut self.refused))
    }
}

#[test]
fn below_and_at_saturation_nobody_is_refused() {
    let mut model = Model::new();
    for rate in [100.0, 700.0, 800.0] {
        model.run(5000, rate, 800.0);
    }
    assert_eq!((model.refused, model.late), (0, 0));
}

#[test]
fn what_is_over_within_half_a_second_is_a_burst() {
    let mut model = Model::new();
    model.run(1000, 400.0, 800.0);
    for _ in 0..5 {
        model.run(400, 4000.0, 800.0);
        model.run(3000, 100.0, 800.0);
    }
    assert_eq!((model.refused, model.late), (0, 0));
    model.run(600, 4000.0, 800.0);
    assert!(model.refused > 0);
}

#[test]
fn in_an_overload_all_that_can_be_is_answered_within_the_target_and_the_rest_refused() {
    for (rate, capacity) in [(1600.0, 800.0), (4000.0, 800.0), (50_000.0, 10_000.0)] {
        let mut model = Model::new();
        model.run(1000, capacity / 2.0, capacity);
        model.run(700, rate, capacity);
        // Those who came before it was known.
        assert!(model.late > 0);
        let (longest, ..) = model.look();
        assert!(longest <= Duration::from_millis(550), "{longest:?}");
        model.run(5000, rate, capacity);
        let (longest, answered, refused) = model.look();
        assert!(longest <= TARGET + 4 * STEP, "{longest:?} at {rate}");
        assert!(answered as f64 >= 0.98 * 5.0 * capacity, "{answered}");
        assert!(
            refused as f64 >= 0.98 * 5.0 * (rate - capacity),
            "{refused}"
        );
    }
}

#[test]
fn a_little_too_much_for_long_is_an_overload_too() {
    let mut model = Model::new();
    model.run(4000, 1.05 * 800.0, 800.0);
    let (longest, _, refused) = model.look();
    assert!(longest <= Duration::from_millis(250), "{longest:?}");
    assert!(refused > 0);
    model.run(4000, 1.05 * 800.0, 800.0);
    let (longest, answered, _) = model.look();
    assert!(longest <= 5 * TARGET, "{longest:?}");
    assert!(answered as f64 >= 0.98 * 4.0 * 800.0, "{answered}");
}

#[test]
fn a_burst_is_no_overload() {
    let mut model = Model::new();
    model.run(1000, 100.0, 800.0);
    model.come(1000, 0);
    model.run(1500, 100.0, 800.0);
    assert_eq!((model.refused, model.late), (0, 0));
    assert!(model.look().0 > Duration::from_secs(1));
}

#[test]
fn clients_that_ask_again_when_they_were_answered_are_no_overload() {
    let mut model = Model::new();
    // 60 of them, each answered after 75 ms.
    model.come(60, 0);
    for _ in 0..5000 {
        model.now += STEP;
        model.answer(800.0);
        let left = 60 - model.inside.len();
        model.come(left, 0);
    }
    assert_eq!((model.refused, model.late), (0, 0));
}

#[test]
fn an_interval_after_an_overload_a_burst_is_served_again() {
    let mut model = Model::new();
    model.run(2000, 4000.0, 800.0);
    model.look();
    // It ends, while some still come or with nobody coming at all.
    for rate in [400.0, 0.0] {
        model.run(250, rate, 800.0);
        model.look();
        model.come(500, 0);
        model.run(700, rate, 800.0);
        let (_, answered, refused) = model.look();
        assert_eq!(refused, 0, "at {rate}");
        assert!(answered >= 500);
        model.run(1000, 4000.0, 800.0);
    }
}

#[test]
fn a_postgres_that_slows_down_tenfold_is_still_kept_busy() {
    let mut model = Model::new();
    model.run(1000, 700.0, 800.0);
    assert_eq!(model.look().2, 0);
    model.run(2000, 700.0, 80.0);
    model.look();
    model.run(3000, 700.0, 80.0);
    let (longest, answered, _) = model.look();
    // The least that is let in takes 100 ms.
    assert!(longest <= Duration::from_millis(115), "{longest:?}");
    assert!(answered >= 235, "{answered}");
    model.run(500, 700.0, 800.0);
    model.look();
    model.run(3000, 700.0, 800.0);
    let (_, answered, refused) = model.look();
    assert_eq!((refused, answered), (0, 2100), "swift again");
}

#[test]
fn a_postgres_that_answers_nothing_is_judged_at_the_acquire_timeout() {
    let mut model = Model::new();
    model.run(200, 400.0, 800.0);
    model.run(950, 400.0, 0.0);
    assert_eq!((model.refused, model.late), (0, 0));
    model.run(200, 400.0, 0.0);
    let seen = (model.late, model.refused, model.inside.len());
    assert!(seen.0 > 300 && seen.1 > 10, "{seen:?}");
    assert_eq!(model.gate.inside.get(), LEAST_ROOM);
}

#[test]
fn who_asks_for_much_at_a_time_leaves_as_much_free_as_he_has() {
    let mut model = Model::new();
    model.run(2000, 4000.0, 800.0);
    while let Some((_, admitted)) = model.inside.pop_front() {
        admitted.end(model.now, None);
    }
    let room = model.gate.room.get();
    assert!(room < 30, "{room}");
    let first = model.come(32, 1);
    assert!((room / 2 - 1..=room / 2 + 1).contains(&first), "{first}");
    let second = model.come(32, 1);
    assert!((room / 4 - 2..=room / 4 + 1).contains(&second), "{second}");
    // Whoever asks for one thing still finds room.
    model.refused = 0;
    model.come(2, 0);
    assert_eq!(model.refused, 0);
}

#[test]
fn the_refused_are_asked_to_come_again_when_there_is_room_for_them() {
    let mut model = Model::new();
    model.run(2000, 4000.0, 800.0);
    let seconds: Vec<u32> = (0..50)
        .filter_map(|_| {
            let refused = model.gate.admit(model.now, LEAST_ROOM * 100).err()?;
            refused.retry_after()
        })
        .collect();
    // Four are refused for one that is answered.
    for second in 1..=4 {
        assert!(seconds.contains(&second), "{seconds:?}");
    }
    assert!(seconds.iter().all(|it| *it <= 5), "{seconds:?}");
}

#[test]
fn a_gate_without_a_target_lets_everybody_in() {
    let mut model = Model::new();
    model.gate = Gate::new(Duration::ZERO, PATIENCE, LEAST_ROOM, model.start);
    model.run(3000, 4000.0, 800.0);
    assert_eq!((model.refused, model.late), (0, 0));
}
