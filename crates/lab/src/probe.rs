//! TCP and UDP between VMs: echo servers, single exchanges, and connections that last.
//!
//! Sockets are made on a thread inside the VM's namespace and belong to it from then on; the
//! threads that use them are ordinary threads of the caller's process.

use crate::{LabError, Netns, error::Context, wait::within};
use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What a single exchange sends.
const WORD: &[u8] = b"are you there?";
/// How often a thread that waits for packets looks whether it should end.
const TICK: Duration = Duration::from_millis(50);
/// Longest message an echo takes at a time.
const MESSAGE_MAX: usize = 2048;
/// How often a single UDP exchange sends until it is answered.
const UDP_REPEAT: Duration = Duration::from_millis(200);
/// How long a lasting connection may take to open.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// Pause of a lasting connection between two exchanges.
const PAUSE: Duration = Duration::from_millis(5);

/// What can be tried from inside a namespace, and what can answer there.
impl Netns {
    /// Whether one ping is answered within `limit`.
    pub fn ping(&self, to: IpAddr, limit: Duration) -> Result<(), LabError> {
        self.run(&format!("ping -n -c 1 -W {} {to}", limit.as_secs_f64()))
            .map(drop)
    }

    /// Pings until one is answered; for a path that is being made.
    pub fn ping_until(&self, to: IpAddr, limit: Duration) -> Result<(), LabError> {
        within(
            &format!("answer to {}'s ping of {to}", self.name()),
            limit,
            || {
                self.ping(to, Duration::from_secs(1))
                    .map_err(|e| e.to_string())
            },
        )
    }

    /// Listens on a TCP port and sends back what comes.
    pub fn echo_tcp(&self, port: u16) -> Result<Echo, LabError> {
        Echo::tcp(self, port)
    }

    /// Listens on a UDP port and sends back what comes.
    pub fn echo_udp(&self, port: u16) -> Result<Echo, LabError> {
        Echo::udp(self, port)
    }

    /// One exchange with a TCP echo on a connection of its own.
    pub fn tcp(&self, to: SocketAddr, limit: Duration) -> Result<Probe, LabError> {
        tcp(self, to, limit)
    }

    /// One exchange with a UDP echo.
    pub fn udp(&self, to: SocketAddr, limit: Duration) -> Result<Probe, LabError> {
        udp(self, to, limit)
    }

    /// A connection to a TCP echo that exchanges bytes until it is dropped.
    pub fn stream(&self, to: SocketAddr) -> Result<Stream, LabError> {
        Stream::open(self, to, PAUSE)
    }

    /// The same with a pause of this length between exchanges, for many at a time.
    pub fn slow_stream(&self, to: SocketAddr, pause: Duration) -> Result<Stream, LabError> {
        Stream::open(self, to, pause)
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The echo came back.
    Answered,
    /// The other end said no: reset, or unreachable by ICMP.
    Refused,
    /// Nothing came within the limit.
    Silent,
}

impl Probe {
    /// Whether the echo came back.
    pub fn answered(self) -> bool {
        self == Probe::Answered
    }

    fn of(result: io::Result<()>) -> Self {
        match result {
            Ok(()) => Probe::Answered,
            Err(e) => match e.kind() {
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::PermissionDenied => Probe::Refused,
                _ => Probe::Silent,
            },
        }
    }
}

/// An echo server; dropping it closes it.
#[derive(Debug)]
pub struct Echo {
    stop: Arc<AtomicBool>,
    worker: Option<thread::JoinHandle<()>>,
}

impl Echo {
    /// A TCP server on all addresses of both families.
    fn tcp(netns: &Netns, port: u16) -> Result<Self, LabError> {
        let bind = || TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
        let listener = netns
            .enter(bind)?
            .what(|| format!("listening on TCP port {port}"))?;
        listener
            .set_nonblocking(true)
            .what(|| "preparing a listener".to_owned())?;
        Ok(Self::run(move |stop| {
            while !stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let stop = Arc::clone(stop);
                        thread::spawn(move || echo_stream(stream, &stop));
                    }
                    Err(_) => thread::sleep(TICK / 10),
                }
            }
        }))
    }

    /// A UDP server on all addresses of both families.
    fn udp(netns: &Netns, port: u16) -> Result<Self, LabError> {
        let bind = || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port));
        let socket = netns
            .enter(bind)?
            .what(|| format!("listening on UDP port {port}"))?;
        socket
            .set_read_timeout(Some(TICK))
            .what(|| "preparing a socket".to_owned())?;
        Ok(Self::run(move |stop| {
            let mut message = [0; MESSAGE_MAX];
            while !stop.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut message) {
                    // an answer that cannot be sent is what the asker will notice
                    let _ = socket.send_to(&message[..length], from);
                }
            }
        }))
    }

    fn run(work: impl FnOnce(&Arc<AtomicBool>) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        Self {
            stop,
            worker: Some(thread::spawn(move || work(&seen))),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            // a panic there has been printed already
            let _ = worker.join();
        }
    }
}

fn echo_stream(mut stream: TcpStream, stop: &AtomicBool) {
    let mut message = [0; MESSAGE_MAX];
    let prepared = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_nodelay(true))
        .and_then(|()| stream.set_read_timeout(Some(TICK)));
    if prepared.is_err() {
        return;
    }
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut message) {
            Ok(0) => return,
            Ok(length) if stream.write_all(&message[..length]).is_err() => return,
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => return,
            _ => {}
        }
    }
}

/// Connects, sends a word, and wants it back.
fn tcp(netns: &Netns, to: SocketAddr, limit: Duration) -> Result<Probe, LabError> {
    let exchange = || -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&to, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(WORD)?;
        let mut answer = [0; WORD.len()];
        stream.read_exact(&mut answer)
    };
    Ok(Probe::of(netns.enter(exchange)?))
}

/// Sends a word until it comes back.
fn udp(netns: &Netns, to: SocketAddr, limit: Duration) -> Result<Probe, LabError> {
    let exchange = || -> io::Result<()> {
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(UDP_REPEAT))?;
        let deadline = Instant::now() + limit;
        let mut answer = [0; MESSAGE_MAX];
        loop {
            socket.send(WORD)?;
            match socket.recv(&mut answer) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() != io::ErrorKind::WouldBlock => return Err(e),
                Err(e) if Instant::now() >= deadline => return Err(e),
                Err(_) => {}
            }
        }
    };
    Ok(Probe::of(netns.enter(exchange)?))
}

/// A connection to an echo that keeps exchanging bytes; dropping it closes it.
#[derive(Debug)]
pub struct Stream {
    exchanges: Arc<AtomicU64>,
    longest_gap: Arc<Mutex<Duration>>,
    failure: Arc<Mutex<Option<String>>>,
    stop: Arc<AtomicBool>,
}

impl Stream {
    fn open(netns: &Netns, to: SocketAddr, pause: Duration) -> Result<Self, LabError> {
        let connect = || TcpStream::connect_timeout(&to, OPEN_LIMIT);
        let stream = netns
            .enter(connect)?
            .what(|| format!("connecting to {to}"))?;
        let new = Self {
            exchanges: Arc::default(),
            longest_gap: Arc::default(),
            failure: Arc::default(),
            stop: Arc::default(),
        };
        let (exchanges, gap) = (Arc::clone(&new.exchanges), Arc::clone(&new.longest_gap));
        let (failure, stop) = (Arc::clone(&new.failure), Arc::clone(&new.stop));
        thread::spawn(move || {
            if let Err(e) = exchange(stream, pause, &exchanges, &gap, &stop) {
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(e.to_string());
            }
        });
        Ok(new)
    }

    /// How many exchanges have been made.
    pub fn exchanges(&self) -> u64 {
        self.exchanges.load(Ordering::Relaxed)
    }

    /// The longest time one exchange has taken.
    pub fn longest_gap(&self) -> Duration {
        *self
            .longest_gap
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, and starts to count anew.
    pub fn take_longest_gap(&self) -> Duration {
        let mut longest = self
            .longest_gap
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut longest)
    }

    /// Waits for `more` exchanges from now on; an error if they do not come within `limit`.
    pub fn goes_on(&self, more: u64, limit: Duration) -> Result<(), LabError> {
        let goal = self.exchanges() + more;
        within("next exchange of an open connection", limit, || {
            let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            match (self.exchanges() >= goal, failure.as_ref()) {
                (true, _) => Ok(()),
                (false, Some(e)) => Err(e.clone()),
                (false, None) => Err(format!("{} exchanges", self.exchanges())),
            }
        })
    }

    /// Waits until no exchange has been made for `quiet`; an error if they never pause so long.
    pub fn stops(&self, quiet: Duration, limit: Duration) -> Result<(), LabError> {
        let (mut count, mut since) = (self.exchanges(), Instant::now());
        within("end of exchanges of an open connection", limit, || {
            let now = self.exchanges();
            if now != count {
                (count, since) = (now, Instant::now());
            }
            if since.elapsed() >= quiet {
                Ok(())
            } else {
                Err(format!("{now} exchanges"))
            }
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Sends a word and waits for it, for ever. Retransmission is the kernel's business: a pause of
/// any length is not an error, only a broken connection is.
fn exchange(
    mut stream: TcpStream,
    pause: Duration,
    exchanges: &AtomicU64,
    longest_gap: &Mutex<Duration>,
    stop: &AtomicBool,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TICK))?;
    let mut answer = [0; WORD.len()];
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        stream.write_all(WORD)?;
        let mut have = 0;
        while have < answer.len() {
            match stream.read(&mut answer[have..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => have += length,
                Err(e) if e.kind() != io::ErrorKind::WouldBlock => return Err(e),
                Err(_) if stop.load(Ordering::Relaxed) => return Ok(()),
                Err(_) => {}
            }
        }
        exchanges.fetch_add(1, Ordering::Relaxed);
        let mut longest = longest_gap.lock().unwrap_or_else(PoisonError::into_inner);
        *longest = (*longest).max(sent.elapsed());
        drop(longest);
        thread::sleep(pause);
    }
    Ok(())
}
