//! What goes wrong at the edges: sockets that end in the middle of something, cores that end
//! before their tasks, settings that make no sense.

use super::*;

/// The kernel's worker threads that do the blocking work of this thread's rings.
fn kernel_workers() -> usize {
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    let own = format!("iou-wrk-{}", thread.file_name().unwrap().display());
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .filter(|name| name.trim_end() == own)
        .count()
}

/// (1), (3) What was written to a stream that is dropped at once is lost, as is said: a send that
/// goes out after the cancellation would keep the socket for as long as the peer doesn't read.
#[test]
fn a_stream_that_is_dropped_with_output_is_freed() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, mut peer) = linked(&ring);
        ring.sleep(Duration::from_millis(5)).await; // the receive is armed
        stream.write(|output| output.resize(64 << 20, 1));
        drop(stream);
        until(&ring, || ring.held() == 0).await;
        ring.sleep(Duration::from_millis(5)).await;
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0, "nothing but the end");
    });
}

/// (1) A stream that is dropped after a part of its output has gone out, with the rest in flight.
#[test]
fn a_stream_that_is_dropped_half_sent_is_freed() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, mut peer) = linked(&ring);
        stream.write(|output| output.resize(64 << 20, 1));
        let reader = thread::spawn(move || {
            peer.read_exact(&mut vec![0; 8 << 20]).unwrap();
            peer
        });
        until(&ring, || reader.is_finished()).await;
        ring.sleep(Duration::from_millis(10)).await;
        assert!(stream.unsent() > 0);
        drop(stream);
        until(&ring, || ring.held() == 0).await;
        drop(reader.join().unwrap());
    });
}

/// A client that reads a large answer slowly costs no thread: an operation that has been woken
/// too often goes to a worker thread of the kernel, where it blocks.
#[test]
fn a_slow_reader_costs_no_thread() {
    on_ring(&Options::default(), |ring| async move {
        let (ours, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
        socket2::SockRef::from(&ours)
            .set_send_buffer_size(16 * 1024)
            .unwrap();
        let stream = Stream::adopt(&ring, ours);
        let sent = noise(4 << 20, 11);
        let expected = sent.clone();
        stream.write(|output| output.extend_from_slice(&sent));
        let reader = thread::spawn(move || {
            let mut got = vec![0; expected.len()];
            for part in got.chunks_mut(4096) {
                peer.read_exact(part).unwrap();
                thread::sleep(Duration::from_micros(100));
            }
            assert!(got == expected, "the bytes differ");
        });
        let mut workers = 0;
        while stream.unsent() > 0 {
            ring.sleep(Duration::from_millis(5)).await;
            workers = workers.max(kernel_workers());
        }
        until(&ring, || reader.is_finished()).await;
        reader.join().unwrap();
        assert_eq!(workers, 0);
    });
}

/// A connection attempt that is given up frees its socket, although nobody answers it.
#[test]
fn giving_up_a_connection_attempt_frees_it() {
    on_ring(&Options::default(), |ring| async move {
        let socket =
            || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let deaf = socket();
        deaf.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
            .unwrap();
        deaf.listen(0).unwrap();
        let address = deaf.local_addr().unwrap();
        // A full backlog: from now on SYNs are dropped.
        let _fillers: Vec<_> = (0..8)
            .map(|_| {
                let filler = socket();
                filler.set_nonblocking(true).unwrap();
                let _ = filler.connect(&address);
                filler
            })
            .collect();
        let mut attempt = Box::pin(Stream::connect(&ring, socket(), address));
        poll_fn(|context| {
            assert!(attempt.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        ring.sleep(Duration::from_millis(20)).await;
        assert_eq!(ring.held(), 1);
        drop(attempt);
        until(&ring, || ring.held() == 0).await;
    });
}

/// (6) Far more sockets close in one pass than the submission queue has entries.
#[test]
fn many_sockets_close_in_one_pass() {
    let options = Options {
        depth: 4,
        completions: 4,
        ..Options::default()
    };
    on_ring(&options, |ring| async move {
        let (streams, peers): (Vec<_>, Vec<_>) = (0..500).map(|_| linked(&ring)).unzip();
        ring.sleep(Duration::from_millis(5)).await;
        drop(streams);
        until(&ring, || ring.held() == 0).await;
        ring.sleep(Duration::from_millis(5)).await;
        for mut peer in peers {
            peer.set_nonblocking(true).unwrap();
            assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0, "the peer sees the end");
        }
    });
}

/// A core that ends closes what its tasks still hold: they never run again, so nobody else would.
#[test]
fn a_core_that_ends_closes_its_sockets() {
    let (mut peer, address) = on_ring(&Options::default(), |ring| async move {
        let (stream, peer) = linked(&ring);
        let (listener, address) = listen(&ring);
        ring.spawn(async move {
            let _ = fill(&stream, 0).await;
        });
        ring.spawn(async move {
            accepted(&listener).await;
        });
        ring.sleep(Duration::from_millis(5)).await;
        (peer, address)
    });
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0, "the peer sees the end");
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
}

/// A deadline is its socket's alone: the next one in the slot does not get it.
#[test]
fn a_deadline_does_not_outlive_its_socket() {
    on_ring(&Options::default(), |ring| async move {
        let (first, _peer) = linked(&ring);
        let slot = first.socket().slot;
        first.set_deadline(Some(Duration::from_millis(60)));
        drop(first);
        until(&ring, || ring.held() == 0).await;
        let (second, mut peer) = linked(&ring);
        assert_eq!(second.socket().slot, slot, "the slot is used again");
        ring.sleep(Duration::from_millis(200)).await;
        peer.write_all(b"x").unwrap();
        assert!(fill(&second, 0).await.unwrap());
        second.consume(1);
        assert!(!second.socket().timed_out.get());
    });
}

/// What has gone out by the time that a late core looks has gone out in time.
#[test]
fn a_deadline_that_passes_with_the_last_byte_is_no_fault() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, _peer) = linked(&ring);
        stream.set_deadline(Some(Duration::from_millis(1)));
        stream.write(|output| output.extend_from_slice(b"answer"));
        thread::sleep(Duration::from_millis(120)); // the core is late: the next pass sweeps, too
        drained(&stream).await.unwrap();
    });
}

/// Tasks that wake each other without any I/O never wait for the kernel.
#[test]
fn tasks_that_wake_each_other_do_not_wait_for_the_kernel() {
    const ROUNDS: u32 = 1000;
    on_ring(&Options::default(), |ring| async move {
        let turn = Rc::new(Cell::new(0));
        let wakers: Rc<RefCell<[Option<std::task::Waker>; 2]>> = Rc::default();
        let start = Instant::now();
        for me in 0..2 {
            let (turn, wakers) = (turn.clone(), wakers.clone());
            ring.spawn(poll_fn(move |context| {
                if turn.get() >= ROUNDS {
                    return Poll::Ready(());
                }
                wakers.borrow_mut()[me] = Some(context.waker().clone());
                if turn.get() as usize % 2 == me {
                    turn.set(turn.get() + 1);
                    if let Some(other) = wakers.borrow_mut()[1 - me].take() {
                        other.wake();
                    }
                }
                Poll::Pending
            }));
        }
        until(&ring, || turn.get() == ROUNDS).await;
        // Blocking between any two would have taken 10 ms each.
        assert!(start.elapsed() < BLOCK_MAX * ROUNDS / 2);
    });
}

/// One unix socket that two cores accept from: whichever takes a connection, it is answered.
///
/// (The kernel wakes one of them for a connection. If that one is just being cancelled, the
/// connection waits for the next one; cores stop together, so none is left to serve it anyway.)
#[test]
fn cores_share_a_listening_socket() {
    let directory = std::env::temp_dir().join(format!("pinion-ring-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("shared.sock");
    let _ = std::fs::remove_file(&path);
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let cores: Vec<_> = (0..2)
        .map(|_| {
            let (socket, stop) = (socket.try_clone().unwrap(), stop.clone());
            thread::spawn(move || {
                on_ring(&Options::default(), |ring| async move {
                    serve_echo(&ring, Listener::adopt(&ring, socket));
                    until(&ring, || stop.load(Ordering::Relaxed)).await;
                });
            })
        })
        .collect();
    for round in 0..=255 {
        let mut peer = std::os::unix::net::UnixStream::connect(&path).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        peer.write_all(&[round; 10]).unwrap();
        let mut got = [0; 10];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(got, [round; 10]);
    }
    stop.store(true, Ordering::Relaxed);
    cores.into_iter().for_each(|core| core.join().unwrap());
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Work that panics is an error for whoever waits for it, not a wait without end.
#[test]
fn blocking_work_that_panics_is_an_error() {
    on_ring(&Options::default(), |ring| async move {
        assert_eq!(blocking(&ring, || 7).await.unwrap(), 7);
        let mut outcome = Box::pin(blocking(&ring, || -> u8 { panic!("on purpose") }));
        let mut patience = ring.sleep(Duration::from_secs(10));
        let outcome = poll_fn(|context| {
            if let Poll::Ready(outcome) = outcome.as_mut().poll(context) {
                return Poll::Ready(outcome);
            }
            assert!(std::pin::Pin::new(&mut patience).poll(context).is_pending());
            Poll::Pending
        })
        .await;
        assert!(outcome.is_err());
    });
}

/// A socket that is idle owns no buffer, also when its last answers were written while the ones before
/// were being sent.
#[test]
fn an_idle_socket_owns_no_buffer() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, mut peer) = linked(&ring);
        let length = 8 << 20;
        stream.write(|output| output.resize(length, 1));
        ring.sleep(Duration::from_millis(5)).await;
        assert!(stream.unsent() > 0, "the peer has not read");
        stream.write(|output| output.push(2));
        let reader = thread::spawn(move || {
            peer.read_exact(&mut vec![0; length + 1]).unwrap();
            peer
        });
        drained(&stream).await.unwrap();
        let socket = stream.socket();
        assert_eq!(socket.output.borrow().capacity(), 0);
        assert_eq!(socket.flying.borrow().capacity(), 0);
        until(&ring, || reader.is_finished()).await;
        drop(reader.join().unwrap());
    });
}

/// A panic ends its task, and nothing else: the core goes on, and tasks that others rely on come back.
#[test]
fn a_panic_ends_one_task() {
    let times = on_ring(&Options::default(), |ring| async move {
        let begun = Rc::new(Cell::new(0));
        ring.spawn(async { panic!("on purpose") });
        ring.spawn_lasting({
            let (ring, begun) = (ring.clone(), begun.clone());
            move || {
                let (ring, begun) = (ring.clone(), begun.clone());
                async move {
                    begun.set(begun.get() + 1);
                    ring.sleep(Duration::from_millis(1)).await;
                    assert!(begun.get() > 2, "on purpose");
                }
            }
        });
        until(&ring, || begun.get() == 3).await;
        ring.sleep(Duration::from_millis(300)).await;
        begun.get()
    });
    assert_eq!(times, 3, "one that is done is not begun again");
}

/// Without its main task a core is of no use: it ends, and says so.
#[test]
fn a_panic_of_the_main_task_ends_the_core() {
    let outcome: io::Result<()> = run(None, &Options::default(), |ring| async move {
        ring.sleep(Duration::from_millis(1)).await;
        panic!("on purpose");
    });
    assert!(outcome.unwrap_err().to_string().contains("panicked"));
}

/// Receive buffers of no bytes, or of more than there is memory, are refused.
#[test]
fn buffers_that_make_no_sense_are_refused() {
    for (buffers, buffer_bytes) in [
        (0, 4096),
        (3, 4096),
        (1 << 15 | 1, 4096),
        (4, 0),
        (1 << 15, usize::MAX / 2),
        (1 << 15, 1 << 49),
    ] {
        let options = Options {
            buffers,
            buffer_bytes,
            ..Options::default()
        };
        let refused = run(None, &options, |_| async {}).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{refused}");
    }
    for buffer_bytes in [1, 1 << 20] {
        let options = Options {
            buffers: 1,
            buffer_bytes,
            ..Options::default()
        };
        run(None, &options, |_| async {}).unwrap();
    }
}

/// The signals that this thread blocks, the first one in the lowest bit.
fn blocked_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:"))
        .unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap()
}

/// Signals are the control thread's: a core, and the threads that it starts, take none but those
/// that say that the thread itself is at fault.
#[test]
fn a_core_takes_no_signals() {
    let before = blocked_signals();
    let (core, started) = on_ring(&Options::default(), |ring| async move {
        let started = blocking(&ring, blocked_signals).await.unwrap();
        (blocked_signals(), started)
    });
    for mask in [core, started] {
        let blocks = |signal: libc::c_int| mask >> (signal - 1) & 1 == 1;
        assert!(
            [
                libc::SIGTERM,
                libc::SIGINT,
                libc::SIGHUP,
                libc::SIGUSR1,
                libc::SIGPIPE,
                libc::SIGCHLD,
            ]
            .into_iter()
            .all(blocks),
            "{mask:x}"
        );
        assert!(
            ![
                libc::SIGSEGV,
                libc::SIGBUS,
                libc::SIGILL,
                libc::SIGFPE,
                libc::SIGABRT,
            ]
            .into_iter()
            .any(blocks),
            "{mask:x}"
        );
    }
    assert_eq!(blocked_signals(), before, "the mask is as it was");
}

/// (4) A flood that a whole default ring of buffers takes in is held at the bound, too.
#[test]
fn a_flood_into_many_buffers_is_held() {
    on_ring(&Options::default(), |ring| async move {
        let (ours, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let writer = thread::spawn(move || {
            let _ = peer.write_all(&vec![1; 256 << 20]);
        });
        let stream = Stream::adopt(&ring, ours);
        ring.sleep(Duration::from_millis(300)).await;
        let options = Options::default();
        let overshoot = 2 * usize::from(options.buffers) * options.buffer_bytes;
        let held = stream.unread();
        assert!(
            held <= options.input_bytes_max + overshoot,
            "{held} bytes are held"
        );
        drop(stream);
        until(&ring, || ring.held() == 0 && writer.is_finished()).await;
        writer.join().unwrap();
    });
}

/// (3) A peer that has ended its side keeps the kernel trying a send that is stuck: the socket is
/// freed whatever moment of that the cancellation meets.
#[test]
fn a_sender_stuck_at_a_half_closed_peer_is_freed() {
    on_ring(&Options::default(), |ring| async move {
        for passes in 0..100 {
            let (ours, peer) = std::os::unix::net::UnixStream::pair().unwrap();
            let stream = Stream::adopt(&ring, ours);
            stream.write(|output| output.resize(1 << 20, 1));
            ring.sleep(Duration::from_millis(1)).await;
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            pass(&ring, passes).await;
            drop(stream);
            until(&ring, || ring.held() == 0).await;
        }
    });
}

/// Lets the ring enter the kernel so many times.
async fn pass(ring: &Ring, times: u64) {
    let start = ring.heartbeat.load(Ordering::Relaxed);
    while ring.heartbeat.load(Ordering::Relaxed) < start + times {
        tasks::yield_now().await;
    }
}

/// Sends that are stuck at half-closed peers block in threads of the kernel: a bounded number.
#[test]
fn half_closed_peers_that_do_not_read_cost_few_threads() {
    on_ring(&Options::default(), |ring| async move {
        let stuck: Vec<_> = (0..100)
            .map(|_| {
                let (ours, peer) = std::os::unix::net::UnixStream::pair().unwrap();
                let stream = Stream::adopt(&ring, ours);
                stream.write(|output| output.resize(1 << 20, 1));
                peer.shutdown(std::net::Shutdown::Write).unwrap();
                (stream, peer)
            })
            .collect();
        ring.sleep(Duration::from_millis(200)).await;
        let workers = kernel_workers();
        assert!(workers <= setup::KERNEL_THREADS_MAX as usize, "{workers}");
        // Whoever reads after all still gets everything.
        let readers: Vec<_> = stuck
            .into_iter()
            .map(|(stream, mut peer)| {
                let reader = thread::spawn(move || peer.read_exact(&mut vec![0; 1 << 20]));
                (stream, reader)
            })
            .collect();
        for (stream, reader) in readers {
            drained(&stream).await.unwrap();
            until(&ring, || reader.is_finished()).await;
            reader.join().unwrap().unwrap();
        }
        until(&ring, || ring.held() == 0).await;
    });
}
