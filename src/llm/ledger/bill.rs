//! [`Bill`]: what is noted of an answer, and kept with its entry.
//!
//! The bytes outlive releases: a byte for the version, 1; a byte of flags, [`USAGE`] and [`COST`]; with its flag the
//! usage, as six numbers; with its flag the cost in nano-dollars; and the name of the model, to the end. Numbers are
//! LEB128.

use bytes::Bytes;

use crate::llm::{NanoDollars, Usage};

const VERSION: u8 = 1;
const USAGE: u8 = 0b01;
const COST: u8 = 0b10;

/// What an answer took, and what that cost when it was bought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bill<'a> {
    /// Empty if nobody named it.
    pub(super) model: &'a str,
    /// `None` if the answer doesn't say.
    pub(super) usage: Option<Usage>,
    /// `None` if the usage isn't known, or has no price.
    pub(super) cost: Option<NanoDollars>,
}

impl<'a> Bill<'a> {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.model.len() + 24);
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.extend([VERSION, flag(self.usage.is_some(), USAGE) | flag(self.cost.is_some(), COST)]);
        if let Some(usage) = self.usage {
            counts(&usage).into_iter().for_each(|count| put(&mut out, count));
        }
        if let Some(cost) = self.cost {
            put(&mut out, cost.get());
        }
        out.extend_from_slice(self.model.as_bytes());
        out.into()
    }

    /// `None` for what is none, or of another version.
    pub(super) fn decode(note: &'a [u8]) -> Option<Self> {
        let [VERSION, flags, rest @ ..] = note else { return None };
        let mut rest = rest;
        let usage = if flags & USAGE != 0 {
            let mut usage = Usage::default();
            for count in counts_mut(&mut usage) {
                *count = take(&mut rest)?;
            }
            Some(usage)
        } else {
            None
        };
        let cost = if flags & COST != 0 { Some(NanoDollars::new(take(&mut rest)?)) } else { None };
        let model = str::from_utf8(rest).ok()?;
        (flags & !(USAGE | COST) == 0).then_some(Self { model, usage, cost })
    }
}

fn counts(usage: &Usage) -> [u64; 6] {
    let mut usage = *usage;
    counts_mut(&mut usage).map(|count| *count)
}

fn counts_mut(usage: &mut Usage) -> [&mut u64; 6] {
    let Usage { input, output, cached_input, cache_creation, cache_creation_1h, reasoning } = usage;
    [input, output, cached_input, cache_creation, cache_creation_1h, reasoning]
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};

    use super::*;

    /// Entries outlive releases: what makes these unreadable raises the version.
    #[test]
    fn a_bill_is_written_and_read_byte_for_byte() {
        let usage =
            Usage { input: 300, output: 2, cached_input: 3, cache_creation: 4, cache_creation_1h: 5, reasoning: 6 };
        let cost = Some(NanoDollars::new(u64::MAX));
        for (bill, bytes) in [
            (
                Bill { model: "m", usage: Some(usage), cost },
                &b"\x01\x03\xac\x02\x02\x03\x04\x05\x06\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01m"[..],
            ),
            (Bill { model: "gpt-4o", usage: None, cost: None }, b"\x01\x00gpt-4o"),
            (Bill { model: "", usage: Some(Usage::default()), cost: None }, b"\x01\x01\0\0\0\0\0\0"),
        ] {
            assert_eq!((&*bill.encode(), Bill::decode(bytes)), (bytes, Some(bill)));
        }
    }

    #[test]
    fn what_is_no_bill_is_none() {
        for note in
            [&b""[..], b"\x01", b"\x02\x00m", b"\x01\x04m", b"\x01\x01\0\0\0\0\0", b"\x01\x00\xff", b"\x01\x02\x80"]
        {
            assert_eq!(Bill::decode(note), None, "{note:x?}");
        }
    }

    proptest! {
        #[test]
        fn a_bill_comes_back(
            counts in any::<[u64; 6]>(), metered: bool, cost in option::of(any::<u64>()), model in ".{0,40}",
        ) {
            let mut usage = Usage::default();
            counts_mut(&mut usage).into_iter().zip(counts).for_each(|(to, from)| *to = from);
            let bill = Bill { model: &model, usage: metered.then_some(usage), cost: cost.map(NanoDollars::new) };
            let note = bill.encode();
            prop_assert_eq!(Bill::decode(&note), Some(bill));
        }

        #[test]
        fn any_note_is_read_without_panic(note: Vec<u8>) {
            let _ = Bill::decode(&note);
        }
    }
}
