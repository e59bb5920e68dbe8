//! Single sequences that random ones meet too seldom.

use super::super::super::queue::CANCELLED_AGAIN_MAX;
use super::operations::How;
use super::*;

/// (4) While cancellations miss, each further flood is one more reason to cancel.
#[test]
fn a_flood_whose_cancellation_misses_is_cancelled_again() {
    let options = Options {
        buffers: 4,
        buffer_bytes: 16,
        input_bytes_max: 32,
        ..Options::default()
    };
    let (ring, world) = simulated(&options);
    let (descriptor, file) = world.borrow_mut().open();
    let stream = Stream::adopt(&ring, descriptor);
    let flood = || {
        ring.pass(false).unwrap();
        let mut world = world.borrow_mut();
        world.files[file].pending += 64;
        for _ in 0..world.in_flight.len() * 4 {
            world.complete(0, How::Full, 0);
        }
    };
    world.borrow_mut().cancels = Cancels::Miss;
    for _ in 0..20 {
        flood();
    }
    let asked = world.borrow().files[file].asked;
    assert!(asked >= 8, "asked {asked} times in 20 passes");
    world.borrow_mut().cancels = Cancels::Hit;
    for _ in 0..20 {
        flood();
    }
    assert!(world.borrow().in_flight.is_empty(), "it still receives");
    let held = stream.unread();
    drop(stream);
    ring.pass(false).unwrap();
    assert!(held <= 24 * 64, "{held} bytes are held");
    assert_eq!(ring.held(), 0);
}

/// (3) However many sockets end at the same time, and however often their cancellations miss, a sweep
/// cancels a bounded number of them, all get their turn, and none is closed before its last completion.
#[test]
fn sockets_whose_cancellation_misses_get_their_turn() {
    const SOCKETS: usize = 2 * CANCELLED_AGAIN_MAX + 1;
    let (ring, world) = simulated(&Options::default());
    let streams: Vec<_> = (0..SOCKETS)
        .map(|_| Stream::adopt(&ring, world.borrow_mut().open().0))
        .collect();
    ring.pass(false).unwrap();
    world.borrow_mut().cancels = Cancels::Miss;
    drop(streams);
    ring.pass(false).unwrap();
    let asked = || -> Vec<_> { world.borrow().files.iter().map(|file| file.asked).collect() };
    assert_eq!(asked(), [1; SOCKETS]);
    let sweep = || {
        world.borrow_mut().now += Duration::from_millis(60);
        ring.pass(false).unwrap(); // sweeps
        ring.pass(false).unwrap(); // hands over
    };
    for (sweeps, again) in [256, 512, 513 + 255].into_iter().enumerate() {
        sweep();
        let sum: usize = asked().iter().sum();
        assert_eq!(sum, SOCKETS + again, "after sweep {sweeps}");
    }
    assert!(asked().iter().all(|asked| (2..=3).contains(asked)));
    assert_eq!(ring.held(), SOCKETS);
    world.borrow_mut().cancels = Cancels::Hit;
    for _ in 0..4 {
        sweep(); // the last one only forgets them
    }
    assert_eq!(ring.held(), 0);
    assert!(ring.queue.is_idle(), "it still looks after them");
}

/// A send of which the kernel takes nothing, over and over, neither ends nor stalls the core.
#[test]
fn a_send_that_never_gets_on_leaves_the_others_alone() {
    let (ring, world) = simulated(&Options::default());
    let [stuck, other] = [(); 2].map(|()| {
        let (descriptor, file) = world.borrow_mut().open();
        let bytes = (0..100).map(|n| outward(file, n));
        world.borrow_mut().files[file].written = 100;
        let stream = Stream::adopt(&ring, descriptor);
        stream.write(|output| output.extend(bytes));
        (stream, file)
    });
    for _ in 0..250 {
        ring.pass(false).unwrap();
        let mut world = world.borrow_mut();
        for at in (0..world.in_flight.len()).rev() {
            let how = match world.in_flight[at].file == Some(stuck.1) {
                true => How::Zero,
                false => How::Short(0),
            };
            world.complete(at, how, 0);
        }
    }
    ring.pass(false).unwrap();
    assert_eq!((stuck.0.unsent(), other.0.unsent()), (100, 0));
    drop((stuck, other));
    ring.pass(false).unwrap();
    assert_eq!(ring.held(), 0);
}

/// Sockets without a kernel behind them, for the clock alone.
fn sockets(ring: &Ring, count: usize) -> Vec<Rc<super::super::socket::Socket>> {
    let mut made = Vec::new();
    for _ in 0..count {
        ring.held.borrow_mut().insert_with(|slot, generation| {
            let socket = super::super::socket::Socket::new(-1, slot, generation, ring.now());
            let socket = Rc::new(socket);
            made.push(socket.clone());
            Held::Socket(socket)
        });
    }
    made
}

/// A hundred thousand deadlines, each moved several times: only the last one counts, none comes
/// early, each is told by the sweep after it, also when the clock jumps by an hour.
#[test]
fn deadlines_by_the_hundred_thousand_are_told_in_time() {
    const SOCKETS: usize = 100_000;
    let (ring, world) = simulated(&Options::default());
    let sockets = sockets(&ring, SOCKETS);
    let mut random = noise(8 * SOCKETS, 9).into_iter();
    let mut next =
        || usize::from(random.next().unwrap()) << 8 | usize::from(random.next().unwrap());
    let mut due = vec![None; SOCKETS];
    for round in 0..3 {
        world.borrow_mut().now += Duration::from_micros(777);
        ring.pass(false).unwrap();
        for (n, socket) in sockets.iter().enumerate() {
            if next() % 2 == 0 || round == 0 {
                let after = Duration::from_millis(300 + round * 7 + (n as u64 * 31) % 2000);
                let after = (n % 10 != 3).then_some(after);
                ring.deadlines.set(socket.slot, after);
                due[n] = after.map(|after| ring.now() + after);
            }
        }
    }
    for jump_us in std::iter::repeat_n(7_390, 400).chain([3_600_000_000]) {
        world.borrow_mut().now += Duration::from_micros(jump_us);
        ring.pass(false).unwrap();
        let now = ring.now();
        for (socket, due) in sockets.iter().zip(&due) {
            let told = socket.timed_out.get();
            assert!(
                !told || due.is_some_and(|due| now >= due),
                "early, or never set"
            );
            assert!(
                told || due.is_none_or(|due| now < due + Duration::from_millis(60)),
                "late"
            );
        }
    }
    for socket in &sockets {
        ring.held
            .borrow_mut()
            .remove(socket.slot, socket.generation);
    }
}

/// Sleepers wake in the order of their times, whatever woken ones do meanwhile, and a clock that
/// stands still wakes nobody.
#[test]
fn sleepers_wake_in_order() {
    let (ring, world) = simulated(&Options::default());
    let mut sleeps: Vec<_> = (0..1000u64)
        .map(|n| {
            (
                n * 379 % 1000,
                Box::pin(ring.sleep(Duration::from_millis(n * 379 % 1000))),
            )
        })
        .collect();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let start = ring.now();
    sleeps.retain_mut(|(_, sleep)| sleep.as_mut().poll(&mut context).is_pending());
    assert_eq!(sleeps.len(), 999, "one of no time at all");
    for _ in 0..12 {
        world.borrow_mut().now += Duration::from_millis(100);
        ring.pass(true).unwrap();
        let passed = (ring.now() - start).as_millis() as u64;
        sleeps.retain_mut(|(ms, sleep)| {
            let pending = sleep.as_mut().poll(&mut context).is_pending();
            assert_eq!(pending, *ms > passed);
            pending
        });
        assert_eq!(ring.timers.next().is_none(), sleeps.is_empty());
    }
    assert!(sleeps.is_empty());
}

/// The kernel says that it has lost completions (`EBADR`): nothing can be trusted then, and the core
/// ends with an error instead of waiting for ever.
#[test]
fn lost_completions_end_the_core() {
    let (ring, world) = simulated(&Options::default());
    world
        .borrow_mut()
        .entries
        .push_back(Entry::Fails(libc::EBADR));
    let error = ring.pass(true).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADR));
}
