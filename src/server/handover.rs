//! Handing listening sockets to the process that is to serve in the place of this one, and taking them there.
//!
//! What is handed over are the sockets themselves, with all that waits in their queues: both processes have
//! them until one closes its own, so that nobody who connects is refused or cut at any time. The new process
//! is a child of the old one, and the line between them, a pair of sockets, is its standard input: nobody else
//! has it, so there is nothing to protect.
//!
//! The old process sends a message for the sockets of each name, then an empty one. The new one answers
//! [`READY`] when it can serve, is told to [`GO`], unless the old one has been stopped meanwhile, and says that it
//! has [`TAKEN`] over: only then the old one accepts no more.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use socket2::{Domain, Socket, Type};

/// Set for a process that is to take over from its parent.
pub const VARIABLE: &str = "PINION_TAKES_OVER";

/// The new process can serve.
const READY: &[u8] = b"ready";
/// The old one leaves it to it.
const GO: &[u8] = b"go";
/// It has heard that: from now on it serves.
const TAKEN: &[u8] = b"taken";

/// Descriptors in one message; the kernel takes 253 (SCM_MAX_FD).
const MESSAGE_SOCKETS_MAX: usize = 64;
/// Bytes of a name: an address or a path.
const NAME_BYTES_MAX: usize = 512;

/// How long the old process may say nothing.
const PARENT_PATIENCE: Duration = Duration::from_secs(30);

/// How long the new one may take to say that it has heard.
const CHILD_PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no word from the new process.
const ENDED: &str = "the new process has ended";

/// Listening sockets, each by a name of its own that both processes know them by.
#[derive(Default)]
pub struct Shares(Vec<(String, Vec<OwnedFd>)>);

impl Shares {
    /// Adds the sockets of one more name.
    pub fn add(&mut self, name: String, sockets: Vec<OwnedFd>) {
        self.0.push((name, sockets));
    }

    /// Those of this name, if there are any.
    pub fn take(&mut self, name: &str) -> VecDeque<OwnedFd> {
        let known = self.0.iter().position(|(known, _)| known == name);
        known.map_or_else(VecDeque::new, |index| self.0.remove(index).1.into())
    }

    /// Names that nobody has taken.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

/// The line to the other process.
pub struct Line(Socket);

impl Line {
    /// Both ends.
    pub fn pair() -> io::Result<(Line, OwnedFd)> {
        let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        Ok((Line(ours), theirs.into()))
    }

    /// One that ends when this one is ended.
    pub fn try_clone(&self) -> io::Result<Line> {
        self.0.try_clone().map(Line)
    }

    /// Nothing more is said; whoever listens hears it.
    pub fn end(&self) {
        // One that has been ended has nothing to end.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }

    /// Sends all sockets.
    pub fn send(&self, shares: &Shares) -> io::Result<()> {
        for (name, sockets) in &shares.0 {
            for part in sockets.chunks(MESSAGE_SOCKETS_MAX) {
                self.send_part(name, part)?;
            }
        }
        self.say(b"end")
    }

    fn send_part(&self, name: &str, sockets: &[OwnedFd]) -> io::Result<()> {
        let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_SOCKETS_MAX))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        rights.push(SendAncillaryMessage::ScmRights(&sockets));
        let text = [IoSlice::new(name.as_bytes())];
        sendmsg(&self.0, &text, &mut rights, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    fn say(&self, word: &[u8]) -> io::Result<()> {
        self.0.send_with_flags(word, libc::MSG_NOSIGNAL)?;
        Ok(())
    }

    fn hear(&self) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
        let mut text = [0; NAME_BYTES_MAX];
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_SOCKETS_MAX))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut text)];
        // With a time-out it is interrupted by a mere stop and go on, too (signal(7)).
        let received =
            retry_on_intr(|| recvmsg(&self.0, &mut parts, &mut rights, RecvFlags::CMSG_CLOEXEC))?;
        let mut sockets = Vec::new();
        for message in rights.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                sockets.extend(descriptors);
            }
        }
        Ok((text[..received.bytes].to_vec(), sockets))
    }

    /// The old process waits until the new one is ready, or says that it will not be.
    pub fn wait_until_ready(&self, patience: Duration) -> Result<(), String> {
        self.wait_for(READY, patience)
    }

    fn wait_for(&self, word: &[u8], patience: Duration) -> Result<(), String> {
        let said = self
            .0
            .set_read_timeout(Some(patience))
            .and_then(|()| self.hear());
        match said {
            Ok((said, _)) if said == word => Ok(()),
            Ok(_) => Err(ENDED.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(ENDED.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(format!("the new process was not ready in {patience:?}"))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// The old process leaves it to the new one, which has heard it then.
    pub fn go(&self) -> Result<(), String> {
        self.say(GO).map_err(|error| error.to_string())?;
        self.wait_for(TAKEN, CHILD_PATIENCE)
    }
}

/// What a new process has been given.
pub struct Inheritance {
    /// Sockets.
    pub shares: Shares,
    line: Line,
}

impl Inheritance {
    /// Takes it, if this process is to take over from its parent.
    pub fn take() -> io::Result<Option<Inheritance>> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let input = std::io::stdin().as_fd().try_clone_to_owned()?;
        let line = Line(Socket::from(input));
        line.0.set_read_timeout(Some(PARENT_PATIENCE))?;
        let mut shares: Vec<(String, Vec<OwnedFd>)> = Vec::new();
        loop {
            let (name, sockets) = line.hear()?;
            if sockets.is_empty() {
                break;
            }
            let name = String::from_utf8_lossy(&name).into_owned();
            // More of the sockets of the last one, if there are too many for a message.
            match shares.last_mut() {
                Some((known, all)) if *known == name => all.extend(sockets),
                _ => shares.push((name, sockets)),
            }
        }
        Ok(Some(Inheritance {
            shares: Shares(shares),
            line,
        }))
    }

    /// This process can serve: waits until the old one leaves it to it.
    pub fn claim(&self) -> Result<(), String> {
        let said = self.line.say(READY).and_then(|()| self.line.hear());
        match said {
            Ok((said, _)) if said == GO => {
                let taken = self.line.say(TAKEN);
                taken.map_err(|error| format!("the process to take over from is gone: {error}"))
            }
            Ok(_) => {
                Err("the process that this one was to take over from has been stopped".to_owned())
            }
            Err(error) => Err(format!(
                "no word from the process to take over from: {error}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn sockets_are_the_same_on_the_other_side() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let many = (0..MESSAGE_SOCKETS_MAX + 1).map(|_| listener.as_fd().try_clone_to_owned());
        let mut shares = Shares::default();
        shares.add("many".to_owned(), many.collect::<io::Result<_>>().unwrap());
        shares.add("one".to_owned(), vec![listener.into()]);
        let (old, new) = Line::pair().unwrap();
        let new = Line(Socket::from(new));
        old.send(&shares).unwrap();
        let heard = [
            new.hear().unwrap(),
            new.hear().unwrap(),
            new.hear().unwrap(),
        ];
        let counts = heard
            .each_ref()
            .map(|(name, sockets)| (&name[..], sockets.len()));
        assert_eq!(counts, [(&b"many"[..], 64), (b"many", 1), (b"one", 1)]);
        assert!(new.hear().unwrap().1.is_empty());
        // Who has connected before is there for whoever has any of them.
        let _waiting = TcpStream::connect(address).unwrap();
        drop(shares);
        let [.., (_, mut last)] = heard;
        assert!(TcpListener::from(last.remove(0)).accept().is_ok());
    }

    #[test]
    fn each_side_hears_the_end_of_the_other() {
        let (old, new) = Line::pair().unwrap();
        let new = Line(Socket::from(new));
        old.try_clone().unwrap().end();
        let inheritance = Inheritance {
            shares: Shares::default(),
            line: new,
        };
        let fault = inheritance.claim().unwrap_err();
        assert!(
            fault.contains("stopped") || fault.contains("pipe"),
            "{fault}"
        );
        let (old, new) = Line::pair().unwrap();
        drop(new);
        let fault = old.wait_until_ready(Duration::from_secs(5)).unwrap_err();
        assert!(fault.contains("ended"), "{fault}");
        let (old, _new) = Line::pair().unwrap();
        let fault = old.wait_until_ready(Duration::from_millis(10)).unwrap_err();
        assert!(fault.contains("not ready"), "{fault}");
    }
}
