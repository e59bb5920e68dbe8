//! The ring against a model: whatever happens in whatever order, the bytes of each connection
//! arrive once and in order, and everything is given back.
//!
//! Queues and buffers are so small that every bound of theirs is met all the time.

use std::os::unix::net::UnixStream;

use proptest::prelude::*;

use super::*;

/// Connections of one run; closed ones are replaced, so that slots and descriptors are used again.
const CONNECTIONS: usize = 3;

/// Bytes of one receive buffer.
const BUFFER_BYTES: usize = 16;

/// Bytes that the peer writes in one step: less than a buffer, or past the input bound of the ring.
const INWARDS_BYTES: [usize; 2] = [BUFFER_BYTES, 200];

/// Bytes of output in one step: up to more than the smallest send buffer, so that sends block.
const OUTWARDS_BYTES: usize = 12_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Write(usize),
    Consume(usize),
    PeerWrites(usize),
    PeerReads(usize),
    /// The peer says that it will write no more.
    PeerEnds,
    /// The peer closes: what it has not read is lost, what it wrote is not, unless it is reset.
    PeerCloses,
    Close,
    Pass,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        4 => (1..OUTWARDS_BYTES).prop_map(Step::Write),
        2 => (1..INWARDS_BYTES[1]).prop_map(Step::Consume),
        4 => (1..INWARDS_BYTES[0]).prop_map(Step::PeerWrites),
        4 => (1..INWARDS_BYTES[1]).prop_map(Step::PeerWrites),
        4 => (1..OUTWARDS_BYTES).prop_map(Step::PeerReads),
        1 => Just(Step::PeerEnds),
        1 => Just(Step::PeerCloses),
        1 => Just(Step::Close),
        9 => Just(Step::Pass),
    ];
    proptest::collection::vec((0..CONNECTIONS, step), 1..120)
}

fn options() -> impl Strategy<Value = Options> {
    (1..=3u32, 0..=2u32, 1..=8usize).prop_map(|(depth, buffers, bound)| Options {
        depth: 1 << depth,
        // The kernel wants at least as many as entries.
        completions: 4.max(1 << depth),
        buffers: 1 << buffers,
        buffer_bytes: BUFFER_BYTES,
        input_bytes_max: bound * BUFFER_BYTES,
        ..Options::default()
    })
}

/// One direction of a connection: byte `n` of it is known, so that the model is two counters.
#[derive(Clone, Copy)]
struct Flow {
    seed: usize,
    written: usize,
    read: usize,
}

impl Flow {
    fn next(&mut self, count: usize) -> Vec<u8> {
        let bytes = (self.written..self.written + count)
            .map(|n| self.byte(n))
            .collect();
        self.written += count;
        bytes
    }

    fn check(&mut self, bytes: &[u8]) -> Result<(), TestCaseError> {
        for byte in bytes {
            prop_assert!(self.read < self.written, "more than was written");
            prop_assert_eq!(*byte, self.byte(self.read), "byte {}", self.read);
            self.read += 1;
        }
        Ok(())
    }

    fn byte(&self, n: usize) -> u8 {
        ((n + self.seed * 7919).wrapping_mul(0x9e37_79b9) >> 13) as u8
    }
}

struct Link {
    stream: Stream,
    /// `None` once closed.
    peer: Option<UnixStream>,
    ended: bool,
    inwards: Flow,
    outwards: Flow,
}

impl Link {
    fn new(ring: &Rc<Ring>, seed: usize) -> Link {
        let (ours, peer) = UnixStream::pair().unwrap();
        peer.set_nonblocking(true).unwrap();
        socket2::SockRef::from(&ours)
            .set_send_buffer_size(1)
            .unwrap(); // the smallest there is
        let flow = |seed| Flow {
            seed,
            written: 0,
            read: 0,
        };
        Link {
            stream: Stream::adopt(ring, ours),
            peer: Some(peer),
            ended: false,
            inwards: flow(2 * seed),
            outwards: flow(2 * seed + 1),
        }
    }

    fn write(&mut self, count: usize) {
        let bytes = self.outwards.next(count);
        self.stream.write(|output| output.extend_from_slice(&bytes));
    }

    fn consume(&mut self, count: usize) -> Result<(), TestCaseError> {
        let count = count.min(self.stream.unread());
        let flow = &mut self.inwards;
        self.stream
            .with_input(|input| flow.check(&input[..count]))?;
        self.stream.consume(count);
        Ok(())
    }

    fn peer_writes(&mut self, count: usize) {
        if self.ended {
            return;
        }
        let mut flow = self.inwards;
        let bytes = flow.next(count);
        // It takes as much as there is room for; the peer may find the stream closed, too.
        if let Some(Ok(written)) = self.peer.as_mut().map(|peer| peer.write(&bytes)) {
            self.inwards.written += written;
        }
    }

    fn peer_reads(&mut self, count: usize) -> Result<usize, TestCaseError> {
        let Some(peer) = &mut self.peer else {
            return Ok(0);
        };
        let mut bytes = vec![0; count];
        let got = match peer.read(&mut bytes) {
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(TestCaseError::fail(format!("the peer: {error}"))),
        };
        self.outwards.check(&bytes[..got])?;
        Ok(got)
    }

    fn peer_ends(&mut self) {
        self.ended = true;
        if let Some(peer) = &self.peer {
            peer.shutdown(std::net::Shutdown::Write).unwrap();
        }
    }

    /// Reads to the end in both directions, then checks that nothing is missing.
    async fn finish(mut self, ring: &Rc<Ring>) -> Result<Option<UnixStream>, TestCaseError> {
        self.peer_ends();
        let start = Instant::now();
        let reset = loop {
            prop_assert!(start.elapsed() < Duration::from_secs(20), "in vain");
            if self.stream.unread() > 0 {
                self.consume(usize::MAX)?;
            }
            self.peer_reads(OUTWARDS_BYTES)?;
            let all_read = self.peer.is_none() || self.outwards.read == self.outwards.written;
            let failed = self.stream.socket().failure().is_some();
            if self.stream.ended() && self.stream.unread() == 0 && all_read {
                break failed;
            }
            pass(ring).await;
        };
        // A peer that closes before it has read everything resets the connection.
        prop_assert!(
            !reset || self.peer.is_none(),
            "a failure with the peer there"
        );
        if !reset {
            prop_assert_eq!(self.inwards.read, self.inwards.written);
        }
        Ok(self.peer)
    }
}

/// Lets the ring enter the kernel once.
async fn pass(ring: &Ring) {
    let before = ring.heartbeat.load(Ordering::Relaxed);
    while ring.heartbeat.load(Ordering::Relaxed) == before {
        tasks::yield_now().await;
    }
}

async fn play(
    ring: Rc<Ring>,
    steps: Vec<(usize, Step)>,
    unread_max: usize,
) -> Result<(), TestCaseError> {
    let mut links: Vec<_> = (0..CONNECTIONS)
        .map(|seed| Link::new(&ring, seed))
        .collect();
    let mut gone = Vec::new();
    for (round, (which, step)) in steps.into_iter().enumerate() {
        let link = &mut links[which];
        match step {
            Step::Write(count) => link.write(count),
            Step::Consume(count) => link.consume(count)?,
            Step::PeerWrites(count) => link.peer_writes(count),
            Step::PeerReads(count) => {
                link.peer_reads(count)?;
            }
            Step::PeerEnds => link.peer_ends(),
            Step::PeerCloses => {
                link.ended = true;
                link.peer = None;
            }
            Step::Close => {
                let new = Link::new(&ring, CONNECTIONS + round);
                let old = std::mem::replace(link, new);
                drop(old.stream);
                gone.extend(old.peer);
            }
            Step::Pass => pass(&ring).await,
        }
        for link in &links {
            let unread = link.stream.unread();
            prop_assert!(unread <= unread_max, "{unread} bytes are held");
        }
    }
    for link in links {
        gone.extend(link.finish(&ring).await?);
    }
    let start = Instant::now();
    while ring.held() > 0 {
        prop_assert!(
            start.elapsed() < Duration::from_secs(20),
            "{} held",
            ring.held()
        );
        pass(&ring).await;
    }
    // The last closes have been queued; the next pass hands them to the kernel.
    ring.sleep(Duration::from_millis(1)).await;
    for peer in &mut gone {
        let closed = loop {
            match peer.read(&mut [0; 4096]) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break error.kind() == io::ErrorKind::ConnectionReset,
            }
        };
        prop_assert!(closed, "the descriptor is still open");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_byte_arrives_once_and_everything_is_given_back(options in options(), steps in steps()) {
        // Past the bound there is what two passes receive, and the one that went past it.
        let overshoot = (2 * usize::from(options.buffers) + 1) * BUFFER_BYTES;
        let unread_max = options.input_bytes_max + overshoot;
        on_ring(&options, move |ring| play(ring, steps, unread_max))?;
    }
}
