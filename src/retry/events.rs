//! Event streams that are handed on by whole events, so that one that breaks can be given an end.

use bytes::{Bytes, BytesMut};

/// The longest event that is held back until it is whole.
pub(super) const LONGEST_EVENT: usize = 1 << 20;

/// Hands on an event stream by whole events.
#[derive(Default)]
pub(super) struct WholeEvents {
    boundary: Boundary,
    /// The event that is not yet whole.
    tail: BytesMut,
    /// Whether its beginning was sent, for it is too long to be held back.
    is_loose: bool,
}

impl WholeEvents {
    /// What of the stream can be sent, now that this has come.
    pub(super) fn take(&mut self, data: Bytes) -> Option<Bytes> {
        let Some(end) = self.boundary.last(&data) else {
            if self.is_loose {
                return Some(data);
            }
            self.tail.extend_from_slice(&data);
            // Whoever sends so much without an end sends no events.
            self.is_loose = self.tail.len() > LONGEST_EVENT;
            return self.is_loose.then(|| self.tail.split().freeze());
        };
        let whole = if self.tail.is_empty() {
            data.slice(..end)
        } else {
            self.tail.extend_from_slice(&data[..end]);
            self.tail.split().freeze()
        };
        self.is_loose = false;
        self.tail.extend_from_slice(&data[end..]);
        Some(whole)
    }

    /// What is left of it at its end.
    pub(super) fn rest(&mut self) -> Bytes {
        self.tail.split().freeze()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tail.is_empty()
    }

    /// Whether all that was handed on is whole, so that another event can follow.
    pub(super) fn may_end(&self) -> bool {
        !self.is_loose
    }
}

/// Finds the last place of an event stream, fed piece by piece, before which all events are whole. Comments are whole by the line,
/// so that a stream that only shows that it is alive isn't held up.
///
/// Lines and events are those of the [HTML standard, §9.2.6](https://html.spec.whatwg.org/multipage/server-sent-events.html).
#[derive(Clone, Copy, Debug, Default)]
struct Boundary {
    line: Line,
    /// Whether the event that is not yet whole has a field.
    has_field: bool,
    /// Whether the last byte was a carriage return, of which a line feed may be a part.
    returned: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Empty,
    Comment,
    Field,
}

impl Boundary {
    /// How many bytes of the next piece end with a whole event. `None`: none does.
    fn last(&mut self, piece: &[u8]) -> Option<usize> {
        let mut boundary = None;
        for (at, byte) in piece.iter().enumerate() {
            match byte {
                b'\n' if self.returned => {
                    self.returned = false;
                    // It ends what the carriage return ended.
                    if !self.has_field && self.line == Line::Empty {
                        boundary = Some(at + 1);
                    }
                    continue;
                }
                b'\n' | b'\r' => {
                    match self.line {
                        Line::Empty => self.has_field = false,
                        Line::Field => self.has_field = true,
                        Line::Comment => {}
                    }
                    self.line = Line::Empty;
                    if !self.has_field {
                        boundary = Some(at + 1);
                    }
                }
                b':' if self.line == Line::Empty => self.line = Line::Comment,
                _ if self.line == Line::Empty => self.line = Line::Field,
                _ => {}
            }
            self.returned = *byte == b'\r';
        }
        boundary
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn last(stream: &str) -> Option<usize> {
        Boundary::default().last(stream.as_bytes())
    }

    #[test]
    fn an_event_is_whole_when_a_blank_line_ends_it() {
        let cases = [
            ("", None),
            ("data: 1\n", None),
            ("data: 1\n\n", Some(9)),
            ("data: 1\r\n\r\n", Some(11)),
            ("data: 1\r\r", Some(9)),
            ("data: 1\n\ndata: 2\n", Some(9)),
            ("data: 1\n\ndata: 2\n\n", Some(18)),
            (": alive\n", Some(8)),
            (": alive\n\n", Some(9)),
            ("data: 1\n: alive\n", None),
            ("data: 1\n\n: alive\n: ali", Some(17)),
            ("\n\n", Some(2)),
        ];
        for (stream, expected) in cases {
            assert_eq!(last(stream), expected, "{stream:?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(stream in "(d|:|\n|\r){0,24}", cuts in proptest::collection::vec(0_usize..24, 0..4)) {
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut <= stream.len()).chain([0, stream.len()]).collect();
            cuts.sort_unstable();
            let mut boundary = Boundary::default();
            let mut found = None;
            for ends in cuts.windows(2) {
                if let Some(at) = boundary.last(&stream.as_bytes()[ends[0]..ends[1]]) {
                    found = Some(ends[0] + at);
                }
            }
            prop_assert_eq!(found, last(&stream));
        }
    }
}
