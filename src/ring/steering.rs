//! Which listener of a port gets a connection: a classic BPF program on their SO_REUSEPORT group.

#![allow(unsafe_code)] // one socket option that no crate offers

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

/// One instruction of a classic BPF program: operation, where to go on if a comparison is true or false,
/// operand.
pub type Instruction = libc::sock_filter;

/// The kernel's number of the option (asm-generic/socket.h).
const SO_ATTACH_REUSEPORT_CBPF: libc::c_int = 51;

/// Has `program` choose for every connection to the address of `socket`, which has SO_REUSEPORT: what it
/// returns is the position of a listener, in the order in which they began to listen. The kernel checks
/// the program.
pub fn steer(socket: impl AsFd, program: &[Instruction]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the descriptor is borrowed for the call. The option's value is a `sock_fprog` of the size
    // that is told; it points to `len` instructions that live until the call is over, by when the kernel has
    // copied them. It does not write to them, whatever the type of the pointer.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
