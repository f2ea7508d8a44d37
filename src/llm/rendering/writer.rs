//! [`Writer`]: JSON and event streams, put together from values as they were written.

use super::{Rendered, json::Raw};

/// The most that is written, in bytes: what stands once in one rendering stands in each event of the other, so that a body of a few
/// megabytes can be made to ask for terabytes. As much as is decoded of a body.
const LIMIT: usize = 64 << 20;

/// Writes a plain answer, or an event stream.
#[derive(Debug, Default)]
pub(super) struct Writer {
    data: Vec<u8>,
    ends: Vec<usize>,
    /// Whether a comma has to stand before what comes next.
    comma: bool,
    /// Whether more was to be written than is.
    is_full: bool,
}

impl Writer {
    /// What was written; [`Rendered::Inexact`] if it was to be more than 64 MiB.
    pub(super) fn finish(self) -> Rendered {
        if self.is_full { Rendered::Inexact } else { Rendered::Converted { data: self.data, ends: self.ends } }
    }

    /// Whether there is room for so many bytes more, and was so far.
    fn has_room(&mut self, bytes: usize) -> bool {
        self.is_full |= bytes > LIMIT - self.data.len().min(LIMIT);
        !self.is_full
    }

    /// An event with JSON in it. One without a name is a mere `data:` line.
    pub(super) fn event(&mut self, name: &str, data: impl FnOnce(&mut Self)) {
        if self.is_full {
            return;
        }
        if !name.is_empty() {
            self.data.extend_from_slice(b"event: ");
            self.data.extend_from_slice(name.as_bytes());
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(b"data: ");
        self.comma = false;
        data(self);
        self.end_event();
    }

    /// The event that ends OpenAI's streams.
    pub(super) fn done(&mut self) {
        self.data.extend_from_slice(b"data: [DONE]");
        self.end_event();
    }

    fn end_event(&mut self) {
        if !self.has_room(2) {
            return;
        }
        self.data.extend_from_slice(b"\n\n");
        self.ends.push(self.data.len());
    }

    pub(super) fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.nest(b"{}", members);
    }

    pub(super) fn array(&mut self, elements: impl FnOnce(&mut Self)) {
        self.nest(b"[]", elements);
    }

    fn nest(&mut self, braces: &[u8; 2], inner: impl FnOnce(&mut Self)) {
        self.separate();
        self.data.push(braces[0]);
        self.comma = false;
        inner(self);
        self.data.push(braces[1]);
        self.comma = true;
    }

    /// The name of the member whose value is written next.
    pub(super) fn name(&mut self, name: &str) -> &mut Self {
        self.separate();
        self.escaped(name);
        self.data.push(b':');
        self.comma = false;
        self
    }

    /// A value, without the white space around its parts: it may hold line ends, which end a `data:` line.
    pub(super) fn raw(&mut self, value: Raw<'_>) {
        if !self.has_room(value.text().len()) {
            return;
        }
        self.separate();
        let (mut in_string, mut is_escaped) = (false, false);
        let mut kept = 0;
        let text = value.text().as_bytes();
        for (at, &byte) in text.iter().enumerate() {
            if in_string {
                in_string = is_escaped || byte != b'"';
                is_escaped = !is_escaped && byte == b'\\';
            } else if byte.is_ascii_whitespace() {
                self.data.extend_from_slice(&text[kept..at]);
                kept = at + 1;
            } else {
                in_string = byte == b'"';
            }
        }
        self.data.extend_from_slice(&text[kept..]);
        self.comma = true;
    }

    /// A string, from what stands between its quotes.
    pub(super) fn quoted(&mut self, inner: &str) {
        if !self.has_room(inner.len()) {
            return;
        }
        self.separate();
        self.data.push(b'"');
        self.data.extend_from_slice(inner.as_bytes());
        self.data.push(b'"');
        self.comma = true;
    }

    /// A string of text that has no escapes yet.
    pub(super) fn string(&mut self, text: &str) {
        self.separate();
        self.escaped(text);
        self.comma = true;
    }

    pub(super) fn member(&mut self, name: &str, value: Raw<'_>) {
        self.name(name).raw(value);
    }

    /// A member whose value is a string, from what stands between its quotes.
    pub(super) fn text(&mut self, name: &str, inner: &str) {
        self.name(name).quoted(inner);
    }

    pub(super) fn number(&mut self, name: &str, number: usize) {
        self.name(name).raw(Raw::written(&number.to_string()));
    }

    pub(super) fn members<'n, 'a>(&mut self, members: impl IntoIterator<Item = (&'n str, Raw<'a>)>) {
        for (name, value) in members {
            self.member(name, value);
        }
    }

    fn separate(&mut self) {
        if self.comma {
            self.data.push(b',');
        }
    }

    fn escaped(&mut self, text: &str) {
        if !self.has_room(text.len()) {
            return;
        }
        // A vector takes all that is written to it.
        let _ = serde_json::to_writer(&mut self.data, text);
    }
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, Raw, Rendered, Writer};

    #[test]
    fn a_value_of_many_lines_stays_one_event() {
        let mut writer = Writer::default();
        let value = "{\r\n \"a \\\" \\\\\" : [ 1.0 ,\t\"  \" ] ,\n\"b\":\"\\\\\" }";
        writer.event("x", |event| event.object(|event| event.member("a\"", Raw::written(value))));
        writer.event("", |event| event.array(|event| event.number("n", 1)));
        writer.done();
        let Rendered::Converted { data, ends } = writer.finish() else { panic!("nothing was written") };
        let text = String::from_utf8(data).expect("UTF-8");
        let events = [
            "event: x\ndata: {\"a\\\"\":{\"a \\\" \\\\\":[1.0,\"  \"],\"b\":\"\\\\\"}}\n\n",
            "data: [\"n\":1]\n\n",
            "data: [DONE]\n\n",
        ];
        assert_eq!(text, events.concat());
        assert_eq!(ends, [events[0].len(), events[..2].concat().len(), text.len()]);
    }

    #[test]
    fn what_would_grow_without_bound_is_given_up() {
        let text = "x".repeat(LIMIT / 4);
        for (times, is_whole) in [(3, true), (4, false), (1000, false)] {
            let mut writer = Writer::default();
            for _ in 0..times {
                writer.event("", |event| event.object(|event| event.text("a", &text)));
            }
            let is_small = writer.data.len() <= LIMIT + 100;
            assert_eq!((writer.finish() != Rendered::Inexact, is_small), (is_whole, true), "{times}");
        }
        let mut writer = Writer::default();
        let value = format!("\"{text}\"");
        (0..4).for_each(|_| writer.raw(Raw::written(&value)));
        assert_eq!(writer.finish(), Rendered::Inexact);
    }
}
