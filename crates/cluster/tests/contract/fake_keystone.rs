//! As much of Keystone's `/v3/auth/tokens` as the cluster uses.

use serde_json::{Value, json};
use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const FAR: &str = "2999-01-01T00:00:00.000000Z";
const PAST: &str = "2001-01-01T00:00:00.000000Z";

#[derive(Default)]
struct Shared {
    own: Mutex<HashSet<String>>,
    made: AtomicUsize,
    validations: AtomicUsize,
    stopped: AtomicBool,
}

pub struct FakeKeystone {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Asked {
    line: String,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, v)| v)
    }
}

impl FakeKeystone {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                serve(stream, &serving);
            }
        });
        Self { address, shared }
    }

    pub fn config(&self, cache_seconds: u64) -> String {
        format!(
            "mode = \"keystone\"\n[auth.keystone]\nurl = \"http://{}/v3\"\n\
             username = \"midonet\"\npassword = \"own\"\nproject = \"service\"\n\
             cache_seconds = {cache_seconds}\n",
            self.address
        )
    }

    pub fn validations(&self) -> usize {
        self.shared.validations.load(Ordering::SeqCst)
    }

    pub fn forget_own_tokens(&self) {
        self.shared.own.lock().unwrap().clear();
    }

    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    let Some(asked) = read(&mut reader) else {
        return;
    };
    let (status, token, body) = match asked.line.split(' ').next() {
        Some("POST") => login(&asked, shared),
        _ => validate(&asked, shared),
    };
    let body = body.to_string();
    let _ = write!(
        reader.get_mut(),
        "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\
         X-Subject-Token: {token}\r\n\r\n{body}",
        body.len()
    );
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else {
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked {
        line,
        headers,
        body: Value::Null,
    };
    let mut body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    asked.body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(asked)
}

fn login(asked: &Asked, shared: &Shared) -> (u16, String, Value) {
    let user = &asked.body["auth"]["identity"]["password"]["user"];
    let project = &asked.body["auth"]["scope"]["project"];
    let own = user["name"] == "midonet" && user["password"] == "own";
    let neutron = user["name"] == "neutron" && user["password"] == "pass:word";
    let named = project["name"] == "service" && project["domain"]["name"] == "Default";
    let by_id = project["id"] == "0123456789abcdef0123456789abcdef";
    if !(own || neutron) || !(named || by_id) || user["domain"]["name"] != "Default" {
        return (401, String::new(), json!({"error": {"code": 401}}));
    }
    if neutron {
        return (201, "admin-token".to_owned(), token(FAR, "admin"));
    }
    let key = format!("own-{}", shared.made.fetch_add(1, Ordering::SeqCst));
    shared.own.lock().unwrap().insert(key.clone());
    (201, key, token(FAR, "admin"))
}

fn validate(asked: &Asked, shared: &Shared) -> (u16, String, Value) {
    if !shared
        .own
        .lock()
        .unwrap()
        .contains(asked.header("x-auth-token"))
    {
        return (401, String::new(), Value::Null);
    }
    shared.validations.fetch_add(1, Ordering::SeqCst);
    let subject = asked.header("x-subject-token");
    let body = match subject {
        "admin-token" => token(FAR, "admin"),
        "member-token" => token(FAR, "member"),
        "expired-token" => token(PAST, "admin"),
        "brief-token" => match brief() {
            Some(expires) => token(&expires, "admin"),
            None => return (404, String::new(), Value::Null),
        },
        _ => return (404, String::new(), Value::Null),
    };
    (200, subject.to_owned(), body)
}

/// Valid for two seconds from the first question on, then unknown.
fn brief() -> Option<String> {
    static UNTIL: Mutex<Option<u64>> = Mutex::new(None);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let until = *UNTIL
        .lock()
        .unwrap()
        .get_or_insert((now + Duration::from_secs(2)).as_secs());
    let (days, rest) = (until / 86_400, until % 86_400);
    // 2026 to 2029: days since 2026-01-01 as an ordinal date in January and on
    let mut day = days - 20_454;
    let mut year = 2026;
    while day >= if year % 4 == 0 { 366 } else { 365 } {
        day -= if year % 4 == 0 { 366 } else { 365 };
        year += 1;
    }
    let february = if year % 4 == 0 { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let text = format!(
        "{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.000000Z",
        day + 1
    );
    (now.as_secs() < until).then_some(text)
}

fn token(expires: &str, role: &str) -> Value {
    json!({"token": {"expires_at": expires, "roles": [{"id": "1", "name": role}]}})
}
