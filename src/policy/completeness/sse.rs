//! Server-sent events, read from a whole body by the rules of the WHATWG (HTML, §9.2.6
//! "Interpreting an event stream").
//!
//! ```
//! use larder::policy::completeness::sse::Events;
//!
//! let mut events = Events::new(b": hello\nevent: ping\ndata: {}\n\ndata: cut");
//! let ping = events.next().expect("the event is whole");
//! assert_eq!((ping.event.as_ref(), ping.data.as_ref()), ("ping", &b"{}"[..]));
//! assert!(events.next().is_none() && events.is_truncated());
//! ```

use std::borrow::Cow;

/// What a [`RetryFallbackLayer`](crate::RetryFallbackLayer) ends an event stream with that broke: an event with an
/// error as OpenAI's and Anthropic's clients expect it. It is the last frame of such a body, or the end of that, by
/// which a log can tell that it broke.
pub const BROKEN: &[u8] =
    b"event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"The upstream's stream broke off.\",\
\"type\":\"api_error\",\"code\":\"upstream_stream_broken\"}}\n\n";

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event<'a> {
    /// Its name; empty if it has none (a browser calls it `message` then).
    pub event: Cow<'a, str>,
    /// Its `data` lines, joined by line feeds.
    pub data: Cow<'a, [u8]>,
}

/// The events of a body, in their order.
///
/// An event at the end that no blank line follows is not among them: it may have been cut. The one
/// exception is `data: [DONE]` with the end of its line, for the sake of servers that write no more
/// than that.
#[derive(Debug, Clone)]
pub struct Events<'a> {
    rest: &'a [u8],
    truncated: bool,
}

impl<'a> Events<'a> {
    /// Reads the events of `body`.
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        let rest = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        Self { rest, truncated: false }
    }

    /// The events of `body` from the last to the first; no more of it is read than they ask for. What a cut left of an event
    /// isn't among them.
    pub(crate) fn from_end(body: &'a [u8]) -> FromEnd<'a> {
        FromEnd { rest: body }
    }

    /// Whether the body ends within an event. Known once the iterator has come to its end.
    ///
    /// White space and comments after the last event do not count.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The next line that ends with CR LF, LF or CR.
    fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
        let (line, ending) = self.rest.split_at(end);
        self.rest = ending.strip_prefix(b"\r\n").unwrap_or_else(|| &ending[1..]);
        Some(line)
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        let mut block = Block::default();
        while let Some(line) = self.line() {
            if !line.is_empty() {
                block.take(line);
            } else if let Some(event) = std::mem::take(&mut block).dispatch() {
                return Some(event);
            }
        }
        let last = std::mem::take(&mut self.rest);
        if !last.trim_ascii().is_empty() {
            block.take(last);
            self.truncated = block.has_fields;
            return None;
        }
        if block.data.as_deref() == Some(b"[DONE]") {
            return block.dispatch();
        }
        self.truncated |= block.has_fields;
        None
    }
}

/// The events of a body in the order opposite to theirs.
#[derive(Debug, Clone)]
pub(crate) struct FromEnd<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for FromEnd<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        while !self.rest.is_empty() {
            let (before, block) = self.rest.split_at(last_block(self.rest));
            self.rest = before;
            // Only the body's own start can be a byte order mark.
            let mut events =
                if before.is_empty() { Events::new(block) } else { Events { rest: block, truncated: false } };
            if let Some(event) = events.next() {
                return Some(event);
            }
        }
        None
    }
}

/// Where what stands after the last blank line begins; blank lines at the end don't count.
fn last_block(body: &[u8]) -> usize {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let content = body.iter().rposition(|byte| !is_end(byte)).unwrap_or(0);
    let is_blank = |end: usize| {
        let line = body[..end].strip_suffix(b"\r\n").unwrap_or_else(|| &body[..end - 1]);
        line.last().is_some_and(is_end)
    };
    (1..=content).rev().find(|&end| is_end(&body[end - 1]) && is_blank(end)).unwrap_or(0)
}

/// The lines since the last blank one.
#[derive(Default)]
struct Block<'a> {
    event: &'a [u8],
    data: Option<Cow<'a, [u8]>>,
    has_fields: bool,
}

impl<'a> Block<'a> {
    fn take(&mut self, line: &'a [u8]) {
        let colon = line.iter().position(|&byte| byte == b':');
        let (field, value) = match colon {
            // A comment.
            Some(0) => return,
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        self.has_fields = true;
        match field {
            b"event" => self.event = value,
            b"data" => match &mut self.data {
                None => self.data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            _ => {}
        }
    }

    /// An event without data is none.
    fn dispatch(self) -> Option<Event<'a>> {
        let event = String::from_utf8_lossy(self.event);
        self.data.map(|data| Event { event, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Events;

    fn read(body: &[u8]) -> (Vec<(String, String)>, bool) {
        let mut events = Events::new(body);
        let read = events.by_ref().map(|event| {
            let data = String::from_utf8_lossy(&event.data).into_owned();
            (event.event.into_owned(), data)
        });
        (read.collect(), events.is_truncated())
    }

    #[test]
    fn fields_are_read_by_the_rules() {
        let cases: [(&str, &[(&str, &str)]); 14] = [
            ("", &[]),
            ("data: a\n\n", &[("", "a")]),
            ("data:a\r\n\r\ndata:  b\r\rdata\n\n", &[("", "a"), ("", " b"), ("", "")]),
            ("\u{feff}data: a\n\n", &[("", "a")]),
            ("data: \u{feff}a\n\n", &[("", "\u{feff}a")]),
            (": comment\n\n:\ndata: a\n: b\n\n", &[("", "a")]),
            ("event: x\ndata: 1\ndata: 2\ndata:\n\n", &[("x", "1\n2\n")]),
            ("event: x\n\ndata: a\n\n", &[("", "a")]),
            ("event: x\nevent: y\ndata: a\n\n", &[("y", "a")]),
            ("id: 7\nretry: 10\nunknown: 1\ndata: a\n\n", &[("", "a")]),
            (" data: a\nDATA: b\n\n", &[]),
            ("data: a:b\n\n", &[("", "a:b")]),
            ("\n\n\r\n\rdata: a\n\n\n\n", &[("", "a")]),
            ("data: [DONE]\n", &[("", "[DONE]")]),
        ];
        for (body, events) in cases {
            let (read, truncated) = read(body.as_bytes());
            let read: Vec<_> = read.iter().map(|(e, d)| (e.as_str(), d.as_str())).collect();
            assert_eq!(read, events, "{body:?}");
            assert!(!truncated, "{body:?}");
        }
    }

    #[test]
    fn an_event_without_its_blank_line_is_truncated() {
        for body in ["data: b", "data: b\n", "event: x\n", "d", "id: 1\n", "data: [DONE]", "data\n "] {
            let (events, truncated) = read(format!("data: a\n\n{body}").as_bytes());
            assert_eq!((events.len(), truncated), (1, true), "{body:?}");
        }
        for body in ["", "\n", "  \t", "\r\n", ": keep-al", ": keep-alive\n", "data: [DONE]\n  "] {
            assert!(!read(format!("data: a\n\n{body}").as_bytes()).1, "{body:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_kept_in_data_and_replaced_in_names() {
        let event = Events::new(b"event: \xff\ndata: \xff\n\n").next().expect("an event");
        assert_eq!(event.event, "\u{fffd}");
        assert_eq!(event.data.as_ref(), b"\xff");
    }

    proptest! {
        #[test]
        fn all_line_ends_mean_the_same(body in "((data|event|id|:)(: ?[a\\[]{0,3})?\n{1,2}){0,6}") {
            let expected = read(body.as_bytes());
            prop_assert_eq!(&read(body.replace('\n', "\r\n").as_bytes()), &expected);
            prop_assert_eq!(&read(body.replace('\n', "\r").as_bytes()), &expected);
        }

        #[test]
        fn from_the_end_the_events_are_the_same(body in "\u{feff}?((data|event|id|:)(: ?[a\u{feff}]{0,3})?(\r\n|\n|\r){1,3}){0,6}") {
            let (mut expected, truncated) = read(body.as_bytes());
            expected.reverse();
            let read = Events::from_end(body.as_bytes()).map(|event| {
                (event.event.into_owned(), String::from_utf8_lossy(&event.data).into_owned())
            });
            if !truncated {
                prop_assert_eq!(read.collect::<Vec<_>>(), expected);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
            read(&body);
            Events::from_end(&body).count();
        }

        #[test]
        fn a_cut_only_takes_events_away(body in "(data: ?[a-c\n]{1,4}\n{1,2}){0,6}", cut in 0usize..80) {
            let whole = read(body.as_bytes()).0;
            let part = read(&body.as_bytes()[..cut.min(body.len())]).0;
            prop_assert!(whole.starts_with(&part));
        }
    }
}
