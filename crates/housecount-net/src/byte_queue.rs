//! Bytes on their way between a socket, TLS and the application.

use rustls::Error;
use tokio::io::ReadBuf;

/// A queue of bytes that holds no memory while it is empty.
#[derive(Default)]
pub(crate) struct ByteQueue {
    pub(crate) bytes: Vec<u8>,
    /// Number of bytes at the front that are used already.
    used: usize,
}

impl ByteQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn unused(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.used += count;
        if self.used >= self.bytes.len() {
            *self = ByteQueue::default();
        }
    }

    /// Gives bytes to a reader, and keeps those for which it has no room.
    pub(crate) fn pass(&mut self, bytes: &[u8], buf: &mut ReadBuf<'_>) {
        let room = if self.is_empty() { buf.remaining() } else { 0 };
        let (now, later) = bytes.split_at(bytes.len().min(room));
        buf.put_slice(now);
        self.bytes.extend_from_slice(later);
    }

    /// Appends the output of `write`, which returns its length. If a slice of `size` is too small,
    /// `write` fails with the size that it needs.
    pub(crate) fn push_with(
        &mut self,
        mut size: usize,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
    ) -> Result<(), Error> {
        let begin = self.bytes.len();
        loop {
            self.bytes.resize(begin + size, 0);
            match write(&mut self.bytes[begin..]) {
                Ok(written) => {
                    self.bytes.truncate(begin + written);
                    return Ok(());
                }
                Err(Some(needed)) if needed > size => size = needed,
                Err(_) => {
                    self.bytes.truncate(begin);
                    return Err(Error::EncryptError);
                }
            }
        }
    }
}
