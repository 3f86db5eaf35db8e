//! TCP_RR: one byte there and back on one connection.

use super::{AGAIN, ANSWER_TIMEOUT, Client, Outcome};
use crate::error::{BenchError, Context};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

/// Measures request rate and latency.
pub fn run(client: &Client) -> Result<Outcome, BenchError> {
    let server = client.transactions();
    let mut stream = TcpStream::connect_timeout(&server, ANSWER_TIMEOUT)
        .context(format!("connect to {server}"))?;
    stream.set_nodelay(true).context("set TCP_NODELAY")?;
    stream
        .set_read_timeout(Some(ANSWER_TIMEOUT))
        .context("set a read timeout")?;
    let (mut nanos, mut byte) = (Vec::with_capacity(1 << 16), [AGAIN]);
    let (start, duration) = (Instant::now(), client.duration());
    while start.elapsed() < duration {
        let sent = Instant::now();
        stream.write_all(&byte).context("send a request")?;
        stream.read_exact(&mut byte).context("wait for an answer")?;
        nanos.push(sent.elapsed().as_nanos() as u64);
    }
    Ok(Outcome::of_durations(&mut nanos, 0, start.elapsed()))
}
