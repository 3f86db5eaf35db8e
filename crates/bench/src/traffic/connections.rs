//! TCP_CRR: a connection per transaction.

use super::{ANSWER_TIMEOUT, Client, LAST, Outcome};
use crate::error::BenchError;
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// Measures the rate of new connections with so many clients at a time.
pub fn run(client: &Client, clients: usize) -> Result<Outcome, BenchError> {
    let (server, duration) = (client.transactions(), client.duration());
    let start = Instant::now();
    let parts: Vec<(Vec<u64>, u64)> = thread::scope(|scope| {
        let running: Vec<_> = (0..clients)
            .map(|_| scope.spawn(move || one_client(server, duration)))
            .collect();
        running
            .into_iter()
            .map(|t| t.join().expect("a client does not panic"))
            .collect()
    });
    let elapsed = start.elapsed();
    let errors = parts.iter().map(|(_, errors)| errors).sum();
    let mut nanos: Vec<u64> = parts.into_iter().flat_map(|(nanos, _)| nanos).collect();
    Ok(Outcome::of_durations(&mut nanos, errors, elapsed))
}

/// Durations of the transactions that succeeded and the number of those that did not.
fn one_client(server: SocketAddr, duration: Duration) -> (Vec<u64>, u64) {
    let (mut nanos, mut errors) = (Vec::with_capacity(1 << 14), 0);
    let start = Instant::now();
    while start.elapsed() < duration {
        let begun = Instant::now();
        match transaction(server) {
            Ok(()) => nanos.push(begun.elapsed().as_nanos() as u64),
            Err(_) => errors += 1,
        }
    }
    (nanos, errors)
}

fn transaction(server: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&server, ANSWER_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let mut byte = [LAST];
    stream.write_all(&byte)?;
    stream.read_exact(&mut byte)?;
    // the server closes first and keeps the TIME_WAIT
    stream.read(&mut byte).map(drop)
}
