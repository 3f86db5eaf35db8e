//! A stand-in for Nova's metadata API behind `service_metadata_proxy`: it knows servers by their ids
//! and believes who has signed (nova/api/metadata/handler.py).

use crate::{LabError, error::Context};
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;
use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddrV4, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// Where Nova's metadata API listens.
pub(crate) const PORT: u16 = 8775;
/// How often a thread that waits looks whether it should end.
const TICK: Duration = Duration::from_millis(20);
/// How long `/slow` waits.
const SLOW: Duration = Duration::from_millis(500);
/// Bytes of the head of a request that are read.
const HEAD_MAX: u64 = 64 << 10;
/// Bytes of `/large` that are written at a time.
const PIECE: usize = 64 << 10;

/// A Nova that answers only for servers it was told of. Dropping it closes it.
///
/// | path | answer |
/// |---|---|
/// | `/latest/meta-data/instance-id` | the server's id |
/// | `/openstack/latest/meta_data.json` | its id, its project, and the address it asks from |
/// | `/large/N` | N bytes |
/// | `/slow` | its id, after half a second |
#[derive(Debug)]
pub struct Nova {
    shared: Arc<Shared>,
    worker: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    secret: String,
    /// Projects of servers.
    servers: Mutex<BTreeMap<String, String>>,
    stop: AtomicBool,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Nova {
    pub(crate) fn start(address: SocketAddrV4, secret: &str) -> Result<Self, LabError> {
        let what = || format!("listening on {address}");
        let listener = TcpListener::bind(address).what(what)?;
        listener.set_nonblocking(true).what(what)?;
        let shared = Arc::new(Shared {
            secret: secret.to_owned(),
            ..Shared::default()
        });
        let serving = Arc::clone(&shared);
        let worker = thread::spawn(move || {
            while !serving.stop.load(Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let shared = Arc::clone(&serving);
                        // who breaks off has got what it wanted
                        thread::spawn(move || drop(shared.serve(stream)));
                    }
                    Err(_) => thread::sleep(TICK),
                }
            }
        });
        let worker = Some(worker);
        Ok(Self { shared, worker })
    }

    /// From now on it knows this server.
    pub fn add(&self, instance: &str, project: &str) {
        let mut servers = self.shared.servers();
        servers.insert(instance.to_owned(), project.to_owned());
    }

    /// The most requests that it has had at a time.
    pub fn busiest(&self) -> usize {
        self.shared.most.load(Relaxed)
    }
}

impl Drop for Nova {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(worker) = self.worker.take() {
            // a panic there has been printed already
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn servers(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.most.fetch_max(now, Relaxed);
        let served = self.answer(&mut stream);
        self.now.fetch_sub(1, Relaxed);
        served
    }

    fn answer(&self, stream: &mut TcpStream) -> io::Result<()> {
        let (path, headers) = read_head(stream)?;
        let header = |name: &str| headers.get(name).map_or("", String::as_str);
        let (instance, from) = (header("x-instance-id"), header("x-forwarded-for"));
        let project = match self.believe(instance, &header) {
            Ok(project) => project,
            Err(status) => return say(stream, status, ""),
        };
        match path.as_str() {
            "/latest/meta-data/instance-id" => say(stream, "200 OK", instance),
            "/slow" => {
                thread::sleep(SLOW);
                say(stream, "200 OK", instance)
            }
            "/openstack/latest/meta_data.json" => {
                let body = json!({"uuid": instance, "project_id": project, "asked_from": from});
                say(stream, "200 OK", &body.to_string())
            }
            path => match path.strip_prefix("/large/").and_then(|n| n.parse().ok()) {
                Some(length) => say_much(stream, length),
                None => say(stream, "404 Not Found", ""),
            },
        }
    }

    /// The project of the server that a request is for, or why it is not answered.
    fn believe<'a>(
        &self,
        instance: &str,
        header: &impl Fn(&str) -> &'a str,
    ) -> Result<String, &'static str> {
        if instance.is_empty() || header("x-forwarded-for").is_empty() {
            return Err("400 Bad Request");
        }
        if !is_signed(&self.secret, instance, header("x-instance-id-signature")) {
            return Err("403 Forbidden");
        }
        let project = self.servers().get(instance).cloned();
        let project = project.filter(|project| *project == header("x-tenant-id"));
        project.ok_or("404 Not Found")
    }
}

/// The path without its query, and the headers by their names in lower case.
fn read_head(stream: &TcpStream) -> io::Result<(String, BTreeMap<String, String>)> {
    let mut lines = BufReader::new(stream.take(HEAD_MAX)).lines();
    let first = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
    let asked = first.split(' ').nth(1).unwrap_or_default();
    let path = asked.split('?').next().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok((path, headers))
}

fn is_signed(secret: &str, instance: &str, signature: &str) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .expect("HMAC takes keys of any length (RFC 2104, 2)");
    mac.update(instance.as_bytes());
    let digits = |i: usize| u8::from_str_radix(signature.get(i..i + 2)?, 16).ok();
    let given: Option<Vec<u8>> = (0..signature.len()).step_by(2).map(digits).collect();
    given.is_some_and(|given| mac.verify_slice(&given).is_ok())
}

fn say(stream: &mut TcpStream, status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

/// Many bytes, none of which exists before it is written.
fn say_much(stream: &mut TcpStream, length: usize) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let piece = [b'm'; PIECE];
    let mut left = length;
    while left > 0 {
        let now = left.min(PIECE);
        stream.write_all(&piece[..now])?;
        left -= now;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_signature_is_believed() {
        // RFC 4231, test case 2
        let right = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let what = "what do ya want for nothing?";
        assert!(is_signed("Jefe", what, right));
        let wrong = [
            right.replace('5', "6"),
            right[..62].to_owned(),
            String::new(),
        ];
        for wrong in wrong {
            assert!(!is_signed("Jefe", what, &wrong), "{wrong}");
        }
        assert!(!is_signed("other", what, right));
    }
}
