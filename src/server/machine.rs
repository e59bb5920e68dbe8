//! What the machine has to give before the cores start.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Locked memory that glommio's rings need on each core; less ends it without a readable word. What newer kernels
/// count beyond it (2 MiB and more a core, by user) is known when the rings are made: `ring::setup` says so then.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// Raises the limit of open files to its hard limit, and looks whether enough memory may be locked.
pub fn prepare() -> Result<(), String> {
    raise(Resource::Nofile);
    // Raised too: rings of many cores share the allowance before Linux 5.12, and it costs nothing.
    raise(Resource::Memlock);
    match getrlimit(Resource::Memlock).current {
        Some(bytes) if bytes < MEMLOCK_BYTES_MIN => Err(format!(
            "this process may lock only {} KiB of memory and io_uring needs {} KiB, on newer kernels 4 MiB for each \
             core: raise RLIMIT_MEMLOCK (`ulimit -l unlimited`, or LimitMEMLOCK=infinity in the systemd unit)",
            bytes / 1024,
            MEMLOCK_BYTES_MIN / 1024
        )),
        _ => Ok(()),
    }
}

fn raise(resource: Resource) {
    let limit = getrlimit(resource);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Without more files there are fewer connections: no reason not to start.
    if let Err(error) = setrlimit(resource, raised) {
        tracing::warn!(?resource, %error, "could not raise a limit");
    }
}
