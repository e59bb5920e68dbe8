//! The stream as tokio's traits see it, for those who only know these.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::TlsStream;

/// Unsent bytes past which a writer waits.
const UNSENT_BYTES_MAX: usize = 256 * 1024;

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if ready!(self.poll_fill(context, 0))? {
            let count = self.with_input(|input| {
                let count = input.len().min(buffer.remaining());
                buffer.put_slice(&input[..count]);
                count
            });
            self.consume(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(context, UNSENT_BYTES_MAX - 1))?;
        let count = bytes.len().min(UNSENT_BYTES_MAX);
        self.write(|output| output.extend_from_slice(&bytes[..count]));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // what is written goes out with the next pass
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close_notify();
        ready!(self.poll_drain(context, 0))?;
        self.shutdown_write();
        Poll::Ready(Ok(()))
    }
}
