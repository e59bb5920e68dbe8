//! Random sequences of what tasks, peers and the kernel do, against a simple model: of each
//! connection the bytes that must have been delivered and sent, in order and once; of the ring what
//! it has asked for and not yet been told the end of.

use std::os::fd::AsFd;
use std::pin::Pin;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use super::line::{Line, Task};
use super::operations::{How, Kind};
use super::steps::{Step, options, steps};
use super::*;

/// Runs of random steps, some 50,000 in all.
const RUNS: u32 = 256;

/// Connections at a time; what would be one more is left out.
const LINES_MAX: usize = 6;
const LISTENERS_MAX: usize = 2;

type Connecting = Pin<Box<dyn Future<Output = io::Result<Stream>>>>;

struct Play {
    ring: Rc<Ring>,
    world: Rc<RefCell<World>>,
    options: Options,
    lines: Vec<Line>,
    connecting: Vec<(Connecting, Task, usize)>,
    listeners: Vec<(Listener, Task)>,
    event: Option<(Event, Task)>,
    woken: usize,
    _waker: EventWaker,
}

impl Play {
    fn new(options: &Options) -> Play {
        let (ring, world) = simulated(options);
        let waker = EventWaker::new().unwrap();
        let event = Event::listen(&ring, &waker);
        Play {
            ring,
            world,
            options: options.clone(),
            lines: Vec::new(),
            connecting: Vec::new(),
            listeners: Vec::new(),
            event: Some((event, Task::default())),
            woken: 0,
            _waker: waker,
        }
    }

    fn step(&mut self, step: Step) {
        let full = self.lines.len() + self.connecting.len() >= LINES_MAX;
        match step {
            Step::Open if !full => {
                let (descriptor, file) = self.world.borrow_mut().open();
                self.add(Stream::adopt(&self.ring, descriptor), file);
            }
            Step::Connect if !full => self.connect(),
            Step::Listen if self.listeners.len() < LISTENERS_MAX => {
                let (descriptor, _) = self.world.borrow_mut().open();
                self.listeners
                    .push((Listener::adopt(&self.ring, descriptor), Task::default()));
            }
            Step::Take(at) if !full && !self.listeners.is_empty() => self.take(at),
            Step::CloseListener(at) if !self.listeners.is_empty() => {
                self.listeners.remove(at % self.listeners.len());
            }
            Step::Storm(at, count) => {
                self.complete_nth(at, How::Short(count), 0, |kind| kind == Kind::Accept);
            }
            Step::Refuse(error) => self.world.borrow_mut().refusals.push_back(error),
            Step::Wake(how) => self.complete_nth(0, how, 0, |kind| kind == Kind::Poll),
            Step::Complete(at, how, place) => self.complete_nth(at, how, place, |_| true),
            Step::Cancels(cancels) => self.world.borrow_mut().cancels = cancels,
            Step::Enters(entry) => self.world.borrow_mut().entries.push_back(entry),
            Step::Advance(us) => self.world.borrow_mut().now += Duration::from_micros(us),
            Step::Pass(quiet) => self.pass(quiet),
            other => self.step_of_line(other),
        }
    }

    fn step_of_line(&mut self, step: Step) {
        let (Step::Write(at, _)
        | Step::Consume(at, _)
        | Step::Close(at)
        | Step::Attend(at, _)
        | Step::Deadline(at, _)
        | Step::Arrive(at, _)
        | Step::PeerEnds(at)) = step
        else {
            return;
        };
        if self.lines.is_empty() {
            return;
        }
        let at = at % self.lines.len();
        if let Step::Close(_) = step {
            drop(self.lines.remove(at));
            return;
        }
        let line = &mut self.lines[at];
        let mut world = self.world.borrow_mut();
        let file = &mut world.files[line.file];
        match step {
            Step::Write(_, count) => {
                let bytes = file.written..file.written + count;
                file.written += count;
                let write = |output: &mut Vec<u8>| {
                    output.extend(bytes.map(|n| outward(line.file, n)));
                };
                line.stream.write(write);
            }
            Step::Consume(_, count) => {
                let count = count.min(line.stream.unread());
                line.stream.consume(count);
                line.consumed += count;
            }
            Step::Attend(_, attends) => line.attended = attends,
            Step::Deadline(_, after) => {
                let after = after.map(Duration::from_millis);
                line.stream.set_deadline(after);
                line.deadline = after.map(|after| self.ring.now() + after);
            }
            Step::Arrive(_, count) if !file.ended => file.pending += count,
            Step::PeerEnds(_) => file.ended = true,
            _ => {}
        }
    }

    fn add(&mut self, stream: Stream, file: usize) {
        self.lines.push(Line::new(stream, file));
    }

    fn connect(&mut self) {
        let (descriptor, file) = self.world.borrow_mut().open();
        let ring = self.ring.clone();
        let address: SocketAddr = ([127, 0, 0, 1], file as u16).into();
        let stream = async move {
            Stream::connect(&ring, socket2::Socket::from(descriptor), address.into()).await
        };
        self.connecting
            .push((Box::pin(stream), Task::default(), file));
        self.look_at_connecting();
    }

    fn look_at_connecting(&mut self) {
        for at in (0..self.connecting.len()).rev() {
            let (stream, task, file) = &mut self.connecting[at];
            let file = *file;
            let Poll::Ready(outcome) = task.look(|context| stream.as_mut().poll(context)) else {
                continue;
            };
            let failed = self.world.borrow().files[file].failed;
            assert_eq!(outcome.is_err(), failed, "what became of the connection");
            drop(self.connecting.remove(at));
            if let Ok(stream) = outcome {
                self.add(stream, file);
            }
        }
    }

    fn take(&mut self, at: usize) {
        let count = self.listeners.len();
        let (listener, task) = &mut self.listeners[at % count];
        let place = || std::future::ready(Some(()));
        let mut accept = Box::pin(listener.accept(place));
        let outcome = task.look(|context| accept.as_mut().poll(context));
        let Poll::Ready(Some((stream, ()))) = outcome else {
            return;
        };
        drop(accept);
        let file = self.world.borrow().open[&stream.as_fd().as_raw_fd()];
        self.add(stream, file);
    }

    fn complete_nth(&mut self, at: usize, how: How, place: usize, of: impl Fn(Kind) -> bool) {
        let mut world = self.world.borrow_mut();
        let fitting: Vec<_> = (0..world.in_flight.len())
            .filter(|at| of(world.in_flight[*at].kind))
            .collect();
        if !fitting.is_empty() {
            world.complete(fitting[at % fitting.len()], how, place);
        }
    }

    fn pass(&mut self, quiet: bool) {
        self.ring.pass(quiet).unwrap();
        self.look_at_connecting();
        self.check();
    }

    /// What must hold after each pass.
    fn check(&mut self) {
        let mut world = self.world.borrow_mut();
        let provided = world.provided.as_mut().unwrap();
        assert!(provided.is_given_back(), "a buffer was not given back");
        let now = self.ring.now();
        for line in &mut self.lines {
            let attentive = world.overflow.is_empty() && world.entries.is_empty();
            line.check(&world.files[line.file], now, &self.options, attentive);
        }
        if let Some((event, task)) = &mut self.event {
            let woken = task.look(|context| std::pin::pin!(event.woken()).poll(context));
            let expected = std::mem::replace(&mut self.woken, world.woken) < world.woken;
            assert_eq!(woken.is_ready(), expected, "woken");
        }
        let waiting = self.ring.queue.waiting.borrow();
        let mut asked = world.outstanding.clone();
        for entry in &*waiting {
            *asked.entry(entry.get_user_data()).or_default() += 1;
        }
        for held in self.ring.held.borrow().iter() {
            let Held::Socket(socket) = held else { continue };
            let count: usize = [Operation::Receive, Operation::Send, Operation::Connect]
                .map(|operation| Token {
                    operation,
                    generation: socket.generation,
                    slot: socket.slot,
                })
                .iter()
                .filter_map(|token| asked.get(&token.encode()))
                .sum();
            assert_eq!(socket.operations.get() as usize, count, "operations");
            assert!(world.open.contains_key(&socket.descriptor), "it is gone");
        }
    }

    /// Lets everything that has begun come to its end, and looks for what is missing.
    fn settle(&mut self) {
        {
            let mut world = self.world.borrow_mut();
            world.cancels = Cancels::Hit;
            world.entries.clear();
        }
        for _ in 0..1000 {
            self.look_at_connecting();
            if self.connecting.is_empty() && self.is_settled() {
                return;
            }
            self.world.borrow_mut().let_go();
            let count = self.world.borrow().in_flight.len();
            for at in (0..count).rev() {
                let kind = self.world.borrow().in_flight[at].kind;
                if kind != Kind::Accept && kind != Kind::Poll {
                    self.world.borrow_mut().complete(at, How::Full, 0);
                }
            }
            for at in 0..self.lines.len() {
                if self.lines[at].stream.unread() > 0 {
                    self.step(Step::Consume(at, usize::MAX));
                }
            }
            self.pass(true);
        }
        panic!("it never comes to its end");
    }

    fn is_settled(&self) -> bool {
        let world = self.world.borrow();
        self.lines.iter().all(|line| {
            let file = &world.files[line.file];
            let sent = file.sent == file.written && line.stream.unsent() == 0;
            let read = file.pending == 0 && line.consumed == file.delivered;
            file.failed || (sent && read && line.stream.ended() == file.ended)
        })
    }

    /// Ends everything and looks whether all has been given back.
    fn end(mut self, abruptly: bool) {
        if abruptly {
            self.world.borrow_mut().cancels = Cancels::Hit;
            self.world.borrow_mut().entries.clear();
            self.world.borrow_mut().let_go();
            // Those that nobody drops before are closed, too.
            let kept = std::mem::take(&mut self.lines);
            assert!(self.ring.reclaim(Duration::from_secs(20)));
            drop(kept);
        } else {
            self.settle();
        }
        self.lines.clear();
        self.connecting.clear();
        self.listeners.clear();
        self.event.take();
        for _ in 0..5000 {
            self.world.borrow_mut().now += Duration::from_millis(51);
            self.pass(false);
            if self.ring.queue.is_idle() && self.world.borrow().outstanding.is_empty() {
                break;
            }
        }
        assert_eq!(self.ring.held(), 0, "slots are held");
        let mut world = self.world.borrow_mut();
        for file in &world.files {
            assert!(file.closed, "not closed: {file:?}");
        }
        assert!(world.outstanding.is_empty() && world.in_flight.is_empty());
        assert!(self.ring.queue.is_idle(), "something is kept for ever");
        assert!(world.provided.as_mut().unwrap().is_complete());
    }
}

fn play(options: &Options, steps: &[Step], abruptly: bool) {
    let mut play = Play::new(options);
    for step in steps {
        play.step(*step);
    }
    play.end(abruptly);
}

/// (1) to (6), in any order, with any result, also those that no machine here can be made to give.
#[test]
fn whatever_the_kernel_answers_nothing_is_lost_and_all_is_given_back() {
    let seed = std::env::var("PROPTEST_RNG_SEED").map_or_else(
        |_| std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
        |seed| seed.parse().expect("a number"),
    );
    println!("PROPTEST_RNG_SEED={seed}");
    let mut runner = TestRunner::new(ProptestConfig {
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None, // the seed is enough
        ..ProptestConfig::with_cases(RUNS)
    });
    let played = Cell::new(0);
    let outcome = runner.run(
        &(options(), steps(), any::<bool>()),
        |(options, steps, abruptly)| {
            played.set(played.get() + steps.len());
            play(&options, &steps, abruptly);
            Ok(())
        },
    );
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(played.get() > 10_000, "only {} steps", played.get());
}
