//! HTTP/1 messages as they lie on the wire.

use std::fmt::Write as _;

use serde_json::Value;

/// A message that was received.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) start: String,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Where a message's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Over,
    Length(u64),
    Chunked,
    Close,
}

impl Message {
    /// From the lines of its head.
    pub(super) fn new(lines: &[String]) -> Self {
        let mut lines = lines.iter();
        let start = lines.next().cloned().unwrap_or_default();
        let fields = lines
            .map(|line| line.split_once(':').unwrap_or((line, "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { start, fields, body: Vec::new() }
    }

    fn word(&self, at: usize) -> &str {
        self.start.split(' ').nth(at).unwrap_or_default()
    }

    pub(super) fn method(&self) -> &str {
        self.word(0)
    }

    pub(super) fn target(&self) -> &str {
        self.word(1)
    }

    pub(super) fn status(&self) -> u16 {
        self.word(1).parse().expect("a status line")
    }

    /// All values of a field.
    pub(super) fn values(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a field that is there once.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        match self.values(name)[..] {
            [] => None,
            [value] => Some(value),
            _ => panic!("{name} is there more than once: {self:?}"),
        }
    }

    /// What larder says that it did.
    pub(super) fn cache(&self) -> &str {
        let value = self.field("cache-status").unwrap_or_default();
        value.strip_prefix("larder; ").unwrap_or(value)
    }

    pub(super) fn is_hit(&self) -> bool {
        self.cache().starts_with("hit")
    }

    pub(super) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("a body of text")
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }

    /// How the body of a response to `method` is delimited (RFC 9112 §6.3).
    pub(super) fn response_framing(&self, method: &str) -> Framing {
        let status = self.status();
        if method == "HEAD" || matches!(status, 204 | 304) || status < 200 {
            return Framing::Over;
        }
        self.framing().unwrap_or(Framing::Close)
    }

    /// How the body of a request is delimited.
    pub(super) fn request_framing(&self) -> Framing {
        self.framing().unwrap_or(Framing::Over)
    }

    fn framing(&self) -> Option<Framing> {
        if self.field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Some(Framing::Chunked);
        }
        let length = self.field("content-length")?;
        Some(Framing::Length(length.parse().expect("a length")))
    }
}

/// A request; `Host` and `Content-Length` are added unless the fields have them, or say that it is chunked.
pub(super) fn request(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !has(fields, "host") {
        head.push_str("Host: proxy.test\r\n");
    }
    finish(head, fields, body, method == "POST" || !body.is_empty())
}

pub(super) fn get(target: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    request("GET", target, fields, b"")
}

pub(super) fn post_json(target: &str, fields: &[(&str, &str)], body: &str) -> Vec<u8> {
    let fields: Vec<_> = fields.iter().copied().chain([("Content-Type", "application/json")]).collect();
    request("POST", target, &fields, body.as_bytes())
}

/// A response; `Content-Length` is added unless the fields have it, or say that it is chunked.
pub(super) fn response(status: u16, fields: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    finish(format!("HTTP/1.1 {status} Whatever\r\n"), fields, body.as_ref(), status != 304)
}

/// One chunk of a chunked body; an empty one is the last.
pub(super) fn chunk(data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

fn has(fields: &[(&str, &str)], name: &str) -> bool {
    fields.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
}

fn finish(mut head: String, fields: &[(&str, &str)], body: &[u8], with_length: bool) -> Vec<u8> {
    for (name, value) in fields {
        write!(head, "{name}: {value}\r\n").expect("a string takes all");
    }
    if with_length && !has(fields, "content-length") && !has(fields, "transfer-encoding") {
        write!(head, "Content-Length: {}\r\n", body.len()).expect("a string takes all");
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}
