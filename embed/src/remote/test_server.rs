//! What does a server of tests answer?
//!
//! A listener of this process that speaks enough HTTP. A test says by a closure
//! what the nth request gets; the server keeps what it was asked, and how many
//! asked at once.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// A request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &value[..])
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        let texts = self.body["input"].as_array().cloned().unwrap_or_default();
        let texts = texts.iter().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    }
}

/// What a request gets.
pub(crate) enum Reply {
    /// Its vectors.
    Vectors,
    /// Its vectors, after so long.
    Late(Duration),
    /// A status, further headers and a body.
    Status(u16, &'static str, String),
    /// Status 200 and this body.
    Body(String),
    /// Half of its vectors' bytes, and then the end of the connection.
    Cut,
    /// A byte now and then, for ever.
    Dribble,
    /// Nothing, for ever.
    Stall,
    /// The end of the connection.
    Close,
}

pub(crate) fn status(status: u16) -> Reply {
    Reply::Status(status, "", String::new())
}

pub(crate) struct Server {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
    most_at_once: Arc<AtomicUsize>,
}

impl Server {
    /// A server that gives the nth request, from 0, what `reply` says.
    pub(crate) fn new(reply: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = Self {
            port,
            seen: Arc::default(),
            most_at_once: Arc::default(),
        };
        let (seen, most) = (Arc::clone(&server.seen), Arc::clone(&server.most_at_once));
        let (reply, running) = (Arc::new(reply), Arc::new(AtomicUsize::new(0)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, most) = (Arc::clone(&seen), Arc::clone(&most));
                let (reply, running) = (Arc::clone(&reply), Arc::clone(&running));
                thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    let number = {
                        let mut seen = seen.lock().expect("a list");
                        seen.push(request.clone());
                        seen.len() - 1
                    };
                    let reply = reply(number, &request);
                    if let Reply::Late(time) = reply {
                        thread::sleep(time);
                    }
                    // Before the answer is there, for who has it asks again.
                    running.fetch_sub(1, Ordering::SeqCst);
                    answer(stream, reply, &request);
                });
            }
        });
        server
    }

    /// A server that does what it is for.
    pub(crate) fn sound() -> Self {
        Self::new(|_, _| Reply::Vectors)
    }

    pub(crate) fn name(&self) -> String {
        format!("http://127.0.0.1:{}/v1#test-model", self.port)
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("a list").clone()
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let mut request = Request {
        line: line.trim_end().to_owned(),
        headers,
        body: Value::Null,
    };
    let length = request.header("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = serde_json::from_slice(&body).ok()?;
    Some(request)
}

fn answer(mut stream: TcpStream, reply: Reply, request: &Request) {
    let vectors = || answer_of(&request.texts());
    let (status, headers, body) = match &reply {
        Reply::Vectors | Reply::Late(_) | Reply::Cut | Reply::Dribble => (200, "", vectors()),
        Reply::Status(status, headers, body) => (*status, *headers, body.clone()),
        Reply::Body(body) => (200, "", body.clone()),
        Reply::Stall => {
            thread::sleep(Duration::from_secs(60));
            return;
        }
        Reply::Close => return,
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    // Whoever asked may have gone away.
    let _ = stream.write_all(head.as_bytes());
    match reply {
        Reply::Cut => {
            let _ = stream.write_all(&body.as_bytes()[..length / 2]);
        }
        Reply::Dribble => {
            for byte in body.as_bytes() {
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
        _ => {
            let _ = stream.write_all(body.as_bytes());
        }
    }
}

/// The answer of a sound server.
pub(crate) fn answer_of(texts: &[String]) -> String {
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({ "index": index, "embedding": numbers(text) }))
        .collect();
    json!({ "object": "list", "data": data, "model": "test-model" }).to_string()
}

/// What the model of tests gives for a text.
pub(crate) fn numbers(text: &str) -> [f32; 3] {
    let sum: u32 = text.bytes().map(u32::from).sum();
    [1.0, text.len() as f32, sum as f32]
}

/// The same, as an embedder should give it.
pub(crate) fn unit(text: &str) -> Vec<f32> {
    let numbers = numbers(text);
    let square = |x: f32| f64::from(x) * f64::from(x);
    let norm = numbers.iter().map(|&x| square(x)).sum::<f64>().sqrt();
    numbers
        .iter()
        .map(|&x| (f64::from(x) / norm) as f32)
        .collect()
}
