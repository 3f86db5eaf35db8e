//! Small UDP packets one way, counted where they arrive.

use super::{ANSWER_TIMEOUT, Client, Outcome, batch::Batch};
use crate::error::{BenchError, Context};
use std::{
    io::Read,
    net::{SocketAddr, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

/// How long packets may still be under way when sending has ended.
const SETTLE: Duration = Duration::from_millis(100);

/// Measures packets that arrive per second.
pub fn run(client: &Client, size: usize) -> Result<Outcome, BenchError> {
    let any: SocketAddr = if client.server.is_ipv4() {
        ([0; 4], 0).into()
    } else {
        ([0; 16], 0).into()
    };
    let socket = UdpSocket::bind(any).context("bind a UDP socket")?;
    socket
        .connect(client.sink())
        .context(format!("connect to {}", client.sink()))?;
    let mut batch = Batch::sender(size.max(1));
    // the first packet of a connection costs more than those this measures
    batch.send(&socket).context("send datagrams")?;
    thread::sleep(SETTLE);

    let before = counted(client.counter())?;
    let (start, duration, mut sent) = (Instant::now(), client.duration(), 0);
    while start.elapsed() < duration {
        sent += batch.send(&socket).context("send datagrams")? as u64;
    }
    let elapsed = start.elapsed();
    thread::sleep(SETTLE);
    let arrived = counted(client.counter())? - before;
    Ok(Outcome {
        rate: arrived as f64 / elapsed.as_secs_f64(),
        count: arrived,
        errors: sent.saturating_sub(arrived),
        ..Outcome::default()
    })
}

/// Asks the server how many datagrams it has seen.
fn counted(counter: SocketAddr) -> Result<u64, BenchError> {
    let mut stream = TcpStream::connect_timeout(&counter, ANSWER_TIMEOUT)
        .context(format!("connect to {counter}"))?;
    stream
        .set_read_timeout(Some(ANSWER_TIMEOUT))
        .context("set a read timeout")?;
    let mut number = [0; 8];
    stream
        .read_exact(&mut number)
        .context("read the sink's count")?;
    Ok(u64::from_be_bytes(number))
}
