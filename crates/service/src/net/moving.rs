//! A connection that is given up when nothing moves on it, in either direction.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A stream whose reads and writes, of one task, fail once no byte has moved for a while.
pub struct Moving<S> {
    stream: S,
    idle: Duration,
    moved: Instant,
    /// Set anew only when it comes: bytes move much more often.
    deadline: Pin<Box<Sleep>>,
}

impl<S> Moving<S> {
    /// Begins with what has moved just now.
    pub fn new(stream: S, idle: Duration) -> Self {
        Self { stream, idle, moved: Instant::now(), deadline: Box::pin(sleep(idle)) }
    }

    fn unless_idle<T>(&mut self, context: &mut Context<'_>, polled: Poll<Result<T>>) -> Poll<Result<T>> {
        if polled.is_ready() {
            self.moved = Instant::now();
            return polled;
        }
        while self.deadline.as_mut().poll(context).is_ready() {
            let deadline = self.moved + self.idle;
            if deadline <= Instant::now() {
                let message = format!("nothing moved for {:?}", self.idle);
                return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, message)));
            }
            self.deadline.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Moving<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.unless_idle(context, polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Moving<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_idle(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.unless_idle(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        // A flush of nothing moves nothing, and ends at once.
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.unless_idle(context, polled)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_stream_on_which_nothing_moves_is_given_up() {
        let (_other, stream) = duplex(16);
        let idle = Duration::from_millis(100);
        let since = Instant::now();
        let error = Moving::new(stream, idle).read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(idle <= since.elapsed());
    }

    #[tokio::test]
    async fn one_whose_answer_is_taken_slowly_is_not_though_nothing_comes_in() {
        let (mut other, stream) = duplex(1);
        let idle = Duration::from_secs(1);
        let (mut read, mut write) = tokio::io::split(Moving::new(stream, idle));
        let slow = tokio::spawn(async move {
            for _ in 0..8 {
                tokio::time::sleep(idle / 4).await;
                other.read_exact(&mut [0]).await.unwrap();
            }
            other
        });
        let waiting = async {
            let error = read.read(&mut [0]).await.unwrap_err();
            (error.kind(), Instant::now())
        };
        let writing = async {
            write.write_all(&[0; 8]).await.unwrap();
            Instant::now()
        };
        // Both in one task, as a connection is served.
        let ((error, ended), written) = tokio::join!(waiting, writing);
        assert_eq!(error, ErrorKind::TimedOut);
        assert!(written <= ended, "bytes moved, twice as long as it may be idle");
        slow.await.unwrap();
    }
}
