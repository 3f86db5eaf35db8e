//! The server: answers transactions, counts datagrams.

use super::{AGAIN, LAST, batch::Batch};
use crate::error::{BenchError, Context};
use std::{
    io::{self, Read, Write},
    net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// Connections answered at the same time; more wait in the kernel's backlog.
const WORKERS: usize = 64;
/// Stack of each worker: it only echoes a byte.
const WORKER_STACK: usize = 64 * 1024;
/// Connections the kernel holds for the workers.
const BACKLOG: i32 = 1024;
/// Socket buffer of the sink, so that a short pause of its thread loses nothing.
const SINK_BUFFER: libc::c_int = 8 << 20;

/// Serves on both IP versions until the process ends.
pub fn run(port: u16) -> Result<(), BenchError> {
    let transactions = listen(port)?;
    let counter = listen(port + 2)?;
    let sink = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port + 1))
        .context(format!("bind UDP port {}", port + 1))?;
    grow_buffer(&sink).context("grow the sink's buffer")?;
    let arrived = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            thread::Builder::new()
                .stack_size(WORKER_STACK)
                .spawn_scoped(scope, || answer_all(&transactions))
                .context("start a worker")?;
        }
        scope.spawn(|| count_all(&sink, &arrived));
        for stream in counter.incoming().flatten() {
            // a client that went away does not want the number
            let _ = tell(stream, arrived.load(Ordering::Relaxed));
        }
        Ok(())
    })
}

fn listen(port: u16) -> Result<TcpListener, BenchError> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .context(format!("listen on TCP port {port}"))?;
    // SAFETY: listening again on a listening socket only changes its backlog.
    unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) };
    Ok(listener)
}

fn answer_all(listener: &TcpListener) {
    loop {
        // a connection that broke off is the client's business
        let _ = listener.accept().and_then(|(stream, _)| answer(stream));
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut byte = [AGAIN];
    while byte[0] != LAST && stream.read(&mut byte)? == 1 {
        stream.write_all(&byte)?;
    }
    Ok(())
}

fn count_all(sink: &UdpSocket, arrived: &AtomicU64) {
    let mut batch = Batch::receiver();
    loop {
        if let Ok(count) = batch.receive(sink) {
            arrived.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}

fn tell(mut stream: TcpStream, count: u64) -> io::Result<()> {
    stream.write_all(&count.to_be_bytes())
}

fn grow_buffer(socket: &UdpSocket) -> io::Result<()> {
    let wanted = SINK_BUFFER;
    // SAFETY: the option's value is an int and lives through the call.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const wanted).cast(),
            size_of_val(&wanted) as u32,
        )
    };
    // without the privilege the buffer stays small: more loss, no failure
    match failed {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()).or_else(|e| {
            if e.raw_os_error() == Some(libc::EPERM) {
                Ok(())
            } else {
                Err(e)
            }
        }),
    }
}
