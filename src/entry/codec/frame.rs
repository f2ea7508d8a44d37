//! The header of a stored entry: 24 bytes in the clear, in front of the payload. Numbers are little endian.
//!
//! | bytes | |
//! |---|---|
//! | 0..4 | `LRDR` |
//! | 4 | the version of the format: 1 |
//! | 5 | bits 0 and 1: the body is as it is (0), zstd (1), LZ4 (2); bit 2: the payload is sealed; the others are zero |
//! | 6..8 | zero |
//! | 8..16 | when the response was received, in nanoseconds since 1970 |
//! | 16..24 | XXH3-64 of: the name's length in 8 bytes, the name under which it is kept, the bytes 0..16, all after the header |

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use super::{
    RECEIVED_AT,
    compress::Method,
    error::{Kind, Unreadable},
};

/// The length of the header.
pub(super) const HEADER: usize = 24;

/// The part of the header that the checksum covers.
pub(super) const CHECKED: Range<usize> = 0..16;

const CHECKSUM: Range<usize> = 16..HEADER;
const MAGIC: [u8; 4] = *b"LRDR";
const VERSION: u8 = 1;
const METHOD: u8 = 0b011;
const SEALED: u8 = 0b100;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) method: Method,
    pub(super) sealed: bool,
    pub(super) received_at: [u8; 8],
}

/// Reads the header of the frame that is kept under this name, and proves the checksum.
pub(super) fn read(key: &[u8], frame: &[u8]) -> Result<Header, Unreadable> {
    let Some([version, ..]) = frame.strip_prefix(&MAGIC) else {
        return Err(Kind::Corrupt("no entry at all").into());
    };
    // Nothing else can be said of another version, not even where its checksum is.
    if *version != VERSION {
        return Err(Kind::UnknownVersion(*version).into());
    }
    let Some((header, rest)) = frame.split_first_chunk::<HEADER>() else {
        return Err(Kind::Corrupt("cut in its header").into());
    };
    if header[CHECKSUM] != checksum(key, &header[CHECKED], rest) {
        return Err(Kind::Corrupt("wrong checksum, as under another name").into());
    }
    parse(header)
}

/// Reads the header of a frame of which the end may be missing, and believes it.
#[cfg(feature = "redis")]
pub(super) fn glance(frame: &[u8]) -> Result<Header, Unreadable> {
    match frame.first_chunk() {
        Some(header) if header.starts_with(&MAGIC) && header[4] == VERSION => parse(header),
        Some(header) if header.starts_with(&MAGIC) => Err(Kind::UnknownVersion(header[4]).into()),
        Some(_) | None => Err(Kind::Corrupt("no entry at all").into()),
    }
}

fn parse(header: &[u8; HEADER]) -> Result<Header, Unreadable> {
    let method = match header[5] & METHOD {
        0 => Method::Raw,
        1 => Method::Zstd,
        2 => Method::Lz4,
        _ => return Err(Kind::Corrupt("unknown compression").into()),
    };
    if header[5] & !(METHOD | SEALED) != 0 || header[6..8] != [0, 0] {
        return Err(Kind::Corrupt("unknown flags").into());
    }
    let mut received_at = [0; 8];
    received_at.copy_from_slice(&header[RECEIVED_AT]);
    Ok(Header { method, sealed: header[5] & SEALED != 0, received_at })
}

/// Writes the header, but for the checksum, into the room that was left for it.
pub(super) fn begin(header: Header, frame: &mut [u8]) {
    let method = match header.method {
        Method::Raw => 0,
        Method::Zstd => 1,
        Method::Lz4 => 2,
    };
    let [a, b, c, d] = MAGIC;
    let flags = method | if header.sealed { SEALED } else { 0 };
    frame[..RECEIVED_AT.start].copy_from_slice(&[a, b, c, d, VERSION, flags, 0, 0]);
    frame[RECEIVED_AT].copy_from_slice(&header.received_at);
}

/// Writes the checksum into an otherwise finished frame.
pub(super) fn finish(key: &[u8], frame: &mut [u8]) {
    let (header, rest) = frame.split_at_mut(HEADER);
    let sum = checksum(key, &header[CHECKED], rest);
    header[CHECKSUM].copy_from_slice(&sum);
}

fn checksum(key: &[u8], header: &[u8], rest: &[u8]) -> [u8; 8] {
    let mut hash = Xxh3::new();
    hash.update(&(key.len() as u64).to_le_bytes());
    hash.update(key);
    hash.update(header);
    hash.update(rest);
    hash.digest().to_le_bytes()
}
