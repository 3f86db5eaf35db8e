//! Frames of the sync protocol over TCP, with time limits.

use std::{io, time::Duration};
use sync::{DecodeError, Decoder, EncodeError, FromAgent, FromCluster, encode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    time::timeout,
};

/// Time for the agent to take one frame. A slower one is dropped and gets the difference when it
/// comes back: nothing is queued for it.
const SEND_LIMIT: Duration = Duration::from_secs(20);
/// Bytes read at once.
const READ_SIZE: usize = 64 << 10;

/// The connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other side closed it.
    #[error("closed by the agent")]
    Closed,
    /// The system says so.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What came is not understood.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// A message cannot be sent.
    #[error("{0}")]
    Encode(#[from] EncodeError),
    /// The agent does not read.
    #[error("the agent has not taken a frame for {} s", SEND_LIMIT.as_secs())]
    Slow,
    /// The agent says nothing.
    #[error("nothing heard for {0} s")]
    Silent(u64),
}

/// Messages from the agent.
pub struct Reader {
    half: OwnedReadHalf,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Reader {
    pub fn new(half: OwnedReadHalf) -> Self {
        Self {
            half,
            decoder: Decoder::default(),
            buffer: Vec::with_capacity(READ_SIZE),
        }
    }

    /// The next message. May be dropped while it waits: what was read is kept.
    pub async fn next(&mut self) -> Result<FromAgent, LinkError> {
        loop {
            if let Some(message) = self.decoder.next()? {
                return Ok(message);
            }
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                return Err(LinkError::Closed);
            }
            self.decoder.feed(&self.buffer);
            self.buffer.clear();
        }
    }
}

/// Messages to the agent.
pub struct Sender {
    half: OwnedWriteHalf,
}

impl Sender {
    pub fn new(half: OwnedWriteHalf) -> Self {
        Self { half }
    }

    pub async fn send(&mut self, message: &FromCluster) -> Result<(), LinkError> {
        let bytes = encode(message)?;
        match timeout(SEND_LIMIT, self.half.write_all(&bytes)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(LinkError::Slow),
        }
    }
}
