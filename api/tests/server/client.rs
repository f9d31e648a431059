//! A client that can also misbehave.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Speaks to one server, with a connection for each request.
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The lines of a stream of events.
    pub(crate) fn events(&self) -> Vec<Value> {
        let lines = self.body.split(|&byte| byte == b'\n');
        lines
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The code of a problem; checks that it is one.
    pub(crate) fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
        let code = problem["code"].as_str().unwrap().to_owned();
        assert_eq!(problem["type"], format!("/problems/{code}"));
        for member in ["title", "detail"] {
            assert!(!problem[member].as_str().unwrap().is_empty());
        }
        assert!(problem["retry"].is_boolean());
        code
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// A bare connection.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn delete(&self, path: &str) -> Response {
        self.send("DELETE", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Response {
        self.json("POST", path, body)
    }

    pub(crate) fn json(&self, method: &str, path: &str, body: &Value) -> Response {
        let headers = [("content-type", "application/json")];
        self.send(method, path, &headers, body.to_string().as_bytes())
    }

    pub(crate) fn ndjson(&self, path: &str, lines: &str) -> Response {
        let headers = [("content-type", "application/x-ndjson")];
        self.send("POST", path, &headers, lines.as_bytes())
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str(&format!("host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.raw(&request).expect("an answer")
    }

    /// Sends bytes and reads one answer, if one comes.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Option<Response> {
        let mut stream = self.connect();
        // The server may have answered, and closed, before all is sent.
        let _ = stream.write_all(bytes);
        read(&mut BufReader::new(stream))
    }
}

/// Begins a stream of documents: a request whose body is written in pieces.
pub(crate) fn begin_stream(client: &Client, path: &str) -> TcpStream {
    let mut stream = client.connect();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n",
        client.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Begins a stream into the collection `docs` and sees its first documents
/// committed, so that the collection is in use until it is ended or dropped.
pub(crate) fn hold(client: &Client) -> TcpStream {
    let mut stream = begin_stream(client, "/v1/collections/docs/documents");
    // So many make a batch.
    let lines: String = (0..256)
        .map(|i| format!("{{\"id\":\"held{i}\",\"text\":\"x\"}}\n"))
        .collect();
    piece(&mut stream, lines.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    assert_eq!(read_head(&mut reader).unwrap().0, 200);
    let first = String::from_utf8(read_piece(&mut reader).unwrap()).unwrap();
    assert!(first.contains("committed"), "{first}");
    stream
}

/// Writes one piece of a body that is written in pieces; an empty one ends it.
pub(crate) fn piece(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    stream.write_all(&chunk)
}

/// Reads the head of an answer.
pub(crate) fn read_head(reader: &mut impl BufRead) -> Option<(u16, Vec<(String, String)>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_lowercase(), value.to_owned())),
            None => return Some((status, headers)),
        }
    }
}

/// Reads one piece of an answer that comes in pieces; none at its end.
pub(crate) fn read_piece(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let length = usize::from_str_radix(line.trim_end(), 16).ok()?;
    let mut bytes = vec![0; length + 2];
    reader.read_exact(&mut bytes).ok()?;
    bytes.truncate(length);
    (length > 0).then_some(bytes)
}

/// Reads one answer.
pub(crate) fn read(reader: &mut impl BufRead) -> Option<Response> {
    let (status, headers) = read_head(reader)?;
    if status == 100 {
        return read(reader);
    }
    let mut response = Response {
        status,
        headers,
        body: Vec::new(),
    };
    let length = response.header("content-length").map(str::to_owned);
    if response.header("transfer-encoding") == Some("chunked") {
        while let Some(piece) = read_piece(reader) {
            response.body.extend(piece);
        }
    } else if let Some(length) = length {
        response.body.resize(length.parse().unwrap(), 0);
        let _ = reader.read_exact(&mut response.body);
    }
    Some(response)
}
