//! A stream that never ends, and a meter for it where it arrives: what a limit lets pass.

use super::batch::Batch;
use crate::error::{BenchError, Context};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Time between two attempts to reach a meter that is not there yet.
const AGAIN: Duration = Duration::from_millis(20);
/// How long the meter waits for the first byte.
const FIRST: Duration = Duration::from_secs(10);
/// Bytes per read and write.
const CHUNK: usize = 64 * 1024;
/// Most datagrams that the sender's kernel gets at once; more would be too long for one.
const SEGMENTS_MAX: usize = 44;
/// Where the kernel's `struct tcp_info` has the segments with data that came (`tcpi_data_segs_in`),
/// and how much of it is read.
const DATA_SEGMENTS: usize = 152;
const TCP_INFO: usize = 160;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// One TCP connection, as fast as it gets.
    Tcp,
    /// Datagrams at a given rate.
    Udp,
}

/// What arrived in a while.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metered {
    /// Bytes of TCP in their order, or datagrams of UDP.
    pub count: u64,
    /// Packets with data.
    pub packets: u64,
    /// How long the while was.
    pub seconds: f64,
}

/// Sends until killed, or until the meter of a TCP connection is gone.
pub fn tcp(to: SocketAddr) -> Result<(), BenchError> {
    let mut stream = loop {
        match TcpStream::connect(to) {
            Ok(stream) => break stream,
            Err(_) => thread::sleep(AGAIN),
        }
    };
    let chunk = vec![0; CHUNK];
    while stream.write_all(&chunk).is_ok() {}
    Ok(())
}

/// Sends datagrams of a size, so many bits of them a second, until killed. Where they are many, the
/// kernel gets a millisecond's at a time and cuts them (UDP segmentation offload): else the sender
/// could not keep up.
pub fn udp(to: SocketAddr, size: usize, bits: f64) -> Result<(), BenchError> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0; 16], 0).into(),
    };
    let socket = UdpSocket::bind(any).context("bind a UDP socket")?;
    socket.connect(to).context(format!("connect to {to}"))?;
    let per_second = bits / 8.0 / size as f64;
    let segments = ((per_second / 1000.0) as usize).clamp(1, SEGMENTS_MAX);
    cut_into(&socket, size).context("ask for UDP segmentation offload")?;
    let bytes = vec![0; size * segments];
    let (start, mut sent) = (Instant::now(), 0.0);
    loop {
        if sent > start.elapsed().as_secs_f64() * per_second {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        match socket.send(&bytes) {
            Ok(_) => sent += segments as f64,
            // nobody listens yet, or the queue of the interface is full
            Err(error) if is_passing(&error) => thread::sleep(AGAIN),
            Err(error) => return Err(error).context("send datagrams"),
        }
    }
}

/// What is sent at once becomes datagrams of this size.
fn cut_into(socket: &UdpSocket, size: usize) -> io::Result<()> {
    let size = libc::c_int::try_from(size).map_err(io::Error::other)?;
    // SAFETY: the option's value is an int and lives through the call.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const size).cast(),
            size_of_val(&size) as libc::socklen_t,
        )
    };
    match failed {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Segments with data that a connection has got, out of order or again alike.
fn data_segments(stream: &TcpStream) -> io::Result<u64> {
    let mut info = [0_u8; TCP_INFO];
    let mut length = TCP_INFO as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `info`.
    let failed = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    let field = info[DATA_SEGMENTS..].first_chunk();
    Ok(field.map_or(0, |bytes| u64::from(u32::from_ne_bytes(*bytes))))
}

fn is_passing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Waits for the first byte, then for `skip`, then counts for `during`.
pub fn meter(
    protocol: Protocol,
    port: u16,
    skip: Duration,
    during: Duration,
) -> Result<Metered, BenchError> {
    let at = (Ipv6Addr::UNSPECIFIED, port);
    let arrived: &AtomicU64 = Box::leak(Box::default()); // the reader's, until the process ends
    let packets: Box<dyn Fn() -> io::Result<u64>> = match protocol {
        Protocol::Tcp => {
            let listener = TcpListener::bind(at).context(format!("listen on port {port}"))?;
            let (mut stream, _) = listener.accept().context("wait for the flood")?;
            let reader = stream.try_clone().context("read the flood")?;
            thread::spawn(move || {
                let mut chunk = vec![0; CHUNK];
                while let Ok(count @ 1..) = stream.read(&mut chunk) {
                    arrived.fetch_add(count as u64, Ordering::Relaxed);
                }
            });
            Box::new(move || data_segments(&reader))
        }
        Protocol::Udp => {
            let socket = UdpSocket::bind(at).context(format!("bind UDP port {port}"))?;
            let mut batch = Batch::receiver();
            thread::spawn(move || {
                while let Ok(count) = batch.receive(&socket) {
                    arrived.fetch_add(count as u64, Ordering::Relaxed);
                }
            });
            Box::new(|| Ok(arrived.load(Ordering::Relaxed)))
        }
    };
    let packets = || packets().context("count packets");
    let start = Instant::now();
    while arrived.load(Ordering::Relaxed) == 0 && start.elapsed() < FIRST {
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(skip);
    let before = (Instant::now(), arrived.load(Ordering::Relaxed), packets()?);
    thread::sleep(during);
    Ok(Metered {
        seconds: before.0.elapsed().as_secs_f64(),
        count: arrived.load(Ordering::Relaxed) - before.1,
        packets: packets()?.saturating_sub(before.2),
    })
}
