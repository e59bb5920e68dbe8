//! What may happen in one step, chosen at random.

use proptest::prelude::*;

use super::operations::{ERRORS, How};
use super::*;

/// Steps of one run at the most.
const STEPS_MAX: usize = 400;

/// Bytes of one receive buffer.
const BUFFER_BYTES: usize = 16;

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Open,
    Connect,
    Listen,
    Take(usize),
    CloseListener(usize),
    /// So many connections arrive in one pass.
    Storm(usize, usize),
    /// The next accept fails.
    Refuse(i32),
    Wake(How),
    /// Somebody waits for this connection, or nobody does.
    Attend(usize, bool),
    Write(usize, usize),
    Consume(usize, usize),
    Close(usize),
    Deadline(usize, Option<u64>),
    Arrive(usize, usize),
    PeerEnds(usize),
    Complete(usize, How, usize),
    Cancels(Cancels),
    Enters(Entry),
    /// Microseconds pass.
    Advance(u64),
    Pass(bool),
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        4 => Just(How::Full),
        3 => (0..4000usize).prop_map(How::Short),
        2 => Just(How::Last),
        1 => Just(How::Zero),
        2 => (0..ERRORS.len()).prop_map(How::Error),
        // Those that are tried again leave more to be seen.
        2 => (0..2usize).prop_map(How::Error),
    ]
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = || 0..64usize;
    let cancels = prop_oneof![
        2 => Just(Cancels::Hit),
        1 => Just(Cancels::Late),
        1 => Just(Cancels::Miss)
    ];
    let errors = [libc::EBUSY, libc::EAGAIN, libc::EINTR, libc::ETIME];
    let enters = prop_oneof![
        (0..errors.len()).prop_map(move |n| Entry::Fails(errors[n])),
        (0..4usize).prop_map(Entry::Takes),
    ];
    let refusals = [libc::EMFILE, libc::ENOBUFS, libc::ECONNABORTED, libc::EPERM];
    let step = prop_oneof![
        3 => Just(Step::Open),
        1 => Just(Step::Connect),
        1 => Just(Step::Listen),
        3 => which().prop_map(Step::Take),
        1 => which().prop_map(Step::CloseListener),
        1 => (which(), 1..300usize).prop_map(|(at, count)| Step::Storm(at, count)),
        1 => (0..refusals.len()).prop_map(move |n| Step::Refuse(refusals[n])),
        1 => how().prop_map(Step::Wake),
        1 => (which(), any::<bool>()).prop_map(|(at, attends)| Step::Attend(at, attends)),
        8 => (which(), 1..4000usize).prop_map(|(at, count)| Step::Write(at, count)),
        6 => (which(), 1..100usize).prop_map(|(at, count)| Step::Consume(at, count)),
        3 => which().prop_map(Step::Close),
        2 => (which(), proptest::option::of(0..200u64)).prop_map(|(at, ms)| Step::Deadline(at, ms)),
        8 => (which(), 1..200usize).prop_map(|(at, count)| Step::Arrive(at, count)),
        1 => which().prop_map(Step::PeerEnds),
        30 => (which(), how(), 0..8usize).prop_map(|(at, how, place)| Step::Complete(at, how, place)),
        2 => cancels.prop_map(Step::Cancels),
        2 => enters.prop_map(Step::Enters),
        2 => (0..80_000u64).prop_map(Step::Advance),
        25 => any::<bool>().prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..STEPS_MAX)
}

pub(super) fn options() -> impl Strategy<Value = Options> {
    (1..=3u32, 0..=4u32, 0..=3u32, 1..=8usize).prop_map(|(depth, more, buffers, bound)| Options {
        depth: 1 << depth,
        completions: 1 << (depth + more),
        buffers: 1 << buffers,
        buffer_bytes: BUFFER_BYTES,
        input_bytes_max: bound * BUFFER_BYTES,
        ..Options::default()
    })
}
