//! Framing: a length and a JSON message.

use serde::{Serialize, de::DeserializeOwned};

/// Largest message, bytes. A longer length is a peer that speaks something else.
pub const FRAME_MAX: usize = 32 << 20;

const LENGTH_SIZE: usize = 4;

/// A message could not be framed.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It has no JSON form.
    #[error("message has no JSON form: {0}")]
    Json(#[from] serde_json::Error),
    /// It is too long.
    #[error("message of {0} bytes exceeds the limit of {FRAME_MAX}")]
    TooLong(usize),
}

/// Bytes from a peer were not a message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The length is beyond the limit.
    #[error(
        "peer announces a message of {0} bytes, more than the limit of {FRAME_MAX}; is it the sync port?"
    )]
    TooLong(usize),
    /// Not JSON of the expected shape.
    #[error("peer sent a message that is not understood: {0}")]
    Json(#[from] serde_json::Error),
}

/// A message as bytes for the wire.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = vec![0; LENGTH_SIZE];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - LENGTH_SIZE;
    if length > FRAME_MAX {
        return Err(EncodeError::TooLong(length));
    }
    bytes[..LENGTH_SIZE].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(bytes)
}

/// Turns bytes as they arrive into messages. Holds at most one frame more than was taken out.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    taken: usize,
}

impl Decoder {
    /// Adds bytes that arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, or `None` until more bytes are fed. After an error the connection is of
    /// no more use: the decoder does not look for the next frame.
    #[expect(
        clippy::should_implement_trait,
        reason = "the caller says which message it expects"
    )]
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, DecodeError> {
        let rest = &self.buffer[self.taken..];
        let Some(length) = rest.first_chunk::<LENGTH_SIZE>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_MAX {
            return Err(DecodeError::TooLong(length));
        }
        let Some(body) = rest.get(LENGTH_SIZE..LENGTH_SIZE + length) else {
            return Ok(None);
        };
        let message = serde_json::from_slice(body)?;
        self.taken += LENGTH_SIZE + length;
        if self.taken == self.buffer.len() {
            self.buffer = Vec::new();
            self.taken = 0;
        }
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests;
