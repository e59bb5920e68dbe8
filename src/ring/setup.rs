//! Making a ring, and saying in one line why this machine can't.

use std::fmt;
use std::io;
use std::time::Duration;

use io_uring::IoUring;

use super::buffers::ProvidedBuffers;
use super::kernel::Kernel;

/// What an operator may tune of a ring.
#[derive(Clone, Debug)]
pub struct Options {
    /// Entries of the submission queue, a power of two: what one pass can hand over in one call.
    pub depth: u32,
    /// Entries of the completion queue, a power of two: several times the connections expected.
    pub completions: u32,
    /// Receive buffers shared by all sockets, a power of two up to 32768.
    pub buffers: u16,
    /// Bytes of each receive buffer, from 1 to 1 MiB.
    pub buffer_bytes: usize,
    /// Unread bytes of one socket past which its receive is cancelled until they are consumed;
    /// at least twice what a reader may wait to have in one piece. A flood overshoots it by what
    /// two passes receive (all the buffers each), as the cancellation takes effect with the next.
    pub input_bytes_max: usize,
    /// How long an idle core polls before it blocks in the kernel.
    pub spin: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            depth: 1024,
            completions: 16 * 1024,
            buffers: 1024,
            buffer_bytes: 4096,
            input_bytes_max: 64 * 1024,
            spin: Duration::ZERO,
        }
    }
}

/// Threads of the kernel in which a core's operations may block. Only sends to peers that have
/// ended their side and don't read get there: waiting for room in such a socket never sleeps. More
/// of them wait for each other, until their deadlines end them; unbounded, each is a thread.
pub(super) const KERNEL_THREADS_MAX: u32 = 32;

/// Why io_uring can't be used here, with the fix.
#[derive(Debug)]
pub struct Unsupported(String);

impl fmt::Display for Unsupported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Unsupported {}

/// Makes a ring and drops it again, so that start-up can say what is missing before a core starts.
pub fn probe(options: &Options) -> Result<(), Unsupported> {
    match build(options) {
        Ok((kernel, buffers)) => {
            drop(kernel);
            drop(buffers);
            Ok(())
        }
        Err(error) => Err(explain_here(&error)),
    }
}

/// The fault of a core's rings in words. What was there for one ring may not be for those of all cores.
pub(super) fn explained(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), explain_here(error).0)
}

fn explain_here(error: &io::Error) -> Unsupported {
    let read = |path| std::fs::read_to_string(path).ok();
    explain(
        error,
        read("/proc/sys/kernel/io_uring_disabled").as_deref(),
        read("/proc/sys/kernel/osrelease").as_deref(),
    )
}

pub(super) fn build(options: &Options) -> io::Result<(Kernel, ProvidedBuffers)> {
    let io: IoUring = IoUring::builder()
        .setup_cqsize(options.completions)
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .dontfork()
        .build(options.depth)?;
    if !io.params().is_feature_nodrop() || !io.params().is_feature_ext_arg() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // Of files, as it is; of sockets.
    io.submitter()
        .register_iowq_max_workers(&mut [0, KERNEL_THREADS_MAX])?;
    let mut kernel = Kernel::Real(io);
    let buffers = ProvidedBuffers::register(&mut kernel, options.buffers, options.buffer_bytes)?;
    Ok((kernel, buffers))
}

/// The line for a ring that could not be made.
fn explain(error: &io::Error, disabled: Option<&str>, release: Option<&str>) -> Unsupported {
    let disabled = disabled.map_or("0", str::trim);
    let release = release.map_or("unknown", str::trim);
    Unsupported(match error.raw_os_error() {
        Some(libc::EPERM) if disabled != "0" => format!(
            "io_uring is disabled on this host (kernel.io_uring_disabled = {disabled}): \
             run `sysctl -w kernel.io_uring_disabled=0`"
        ),
        Some(libc::EPERM | libc::EACCES) => "io_uring is not permitted here: a seccomp filter \
             blocks it (in a container, allow io_uring_setup, io_uring_enter and io_uring_register)"
            .to_owned(),
        Some(libc::ENOSYS) => {
            format!("this kernel ({release}) has no io_uring: Linux 6.1 or later is needed")
        }
        Some(libc::EINVAL) => format!(
            "this kernel ({release}) lacks io_uring features that pinion needs: \
             Linux 6.1 or later is needed"
        ),
        Some(libc::ENOMEM) => "not enough locked memory for io_uring: raise RLIMIT_MEMLOCK \
             (`ulimit -l`, or LimitMEMLOCK= in the systemd unit; newer kernels count 2 MiB and more \
             for each core, of all processes of a user, root apart)"
            .to_owned(),
        _ => format!("io_uring could not be set up: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can() {
        probe(&Options::default()).expect("io_uring");
    }

    #[test]
    fn each_reason_names_its_fix() {
        let line = |number, disabled: &str| {
            explain(
                &io::Error::from_raw_os_error(number),
                Some(&format!("{disabled}\n")),
                Some("5.15.0\n"),
            )
            .to_string()
        };
        assert!(line(libc::EPERM, "2").contains("sysctl -w kernel.io_uring_disabled=0"));
        assert!(line(libc::EPERM, "0").contains("seccomp"));
        assert!(line(libc::EINVAL, "0").contains("(5.15.0)"));
        assert!(line(libc::EINVAL, "0").contains("6.1"));
        assert!(line(libc::ENOSYS, "0").contains("6.1"));
        assert!(line(libc::ENOMEM, "0").contains("RLIMIT_MEMLOCK"));
    }
}
