//! Bodies made smaller, where that pays.

use std::cell::RefCell;

use http::{HeaderMap, header};
use lz4_flex::block as lz4;
use zstd::bulk::{Decompressor, compress_to_buffer};

use crate::{ConfigError, header::media_type};

/// The largest body that is compressed: a GiB.
const MAX_BODY: usize = 1 << 30;

/// The most that a byte can stand for: in zstd four make a block of 128 KiB, in LZ4 one lengthens a match by 255.
const ZSTD_RATIO: usize = 32 << 10;
const LZ4_RATIO: usize = 255;

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    Off,
    /// With LZ4: several times as fast as zstd, and a larger result.
    Lz4,
    /// With zstd, at a level from 1, the fastest, to 19, the smallest. Reading takes the same time whatever the level.
    Zstd(i32),
}

/// How one body was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Raw,
    Zstd,
    Lz4,
}

impl Compression {
    pub(super) fn validate(self) -> Result<(), ConfigError> {
        match self {
            Self::Zstd(level) if !(1..=19).contains(&level) => {
                let problem = format!("zstd has no level {level} here: expected 1 to 19, of which 3 suits most");
                Err(ConfigError::new("Codec compression", problem))
            }
            Self::Off | Self::Lz4 | Self::Zstd(_) => Ok(()),
        }
    }

    /// Appends a body to a frame, compressed if that makes it smaller.
    pub(super) fn append(self, body: &[u8], frame: &mut Vec<u8>) -> Method {
        let start = frame.len();
        let packed = match self {
            Self::Zstd(level) if body.len() <= MAX_BODY => {
                // One that doesn't become smaller fails for want of room.
                frame.resize(start + body.len(), 0);
                compress_to_buffer(body, &mut frame[start..], level).ok().map(|size| (Method::Zstd, size))
            }
            Self::Lz4 if body.len() <= MAX_BODY => {
                frame.resize(start + lz4::get_maximum_output_size(body.len()), 0);
                lz4::compress_into(body, &mut frame[start..]).ok().map(|size| (Method::Lz4, size))
            }
            Self::Off | Self::Zstd(_) | Self::Lz4 => None,
        };
        if let Some((method, size)) = packed.filter(|(_, size)| *size < body.len()) {
            frame.truncate(start + size);
            return method;
        }
        frame.truncate(start);
        frame.extend_from_slice(body);
        Method::Raw
    }
}

/// A compressed body as it was, if it is of that length.
///
/// The length is believed only as far as so few bytes can stand for so many.
pub(super) fn expand(method: Method, packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let ratio = match method {
        Method::Raw => 1,
        Method::Zstd => ZSTD_RATIO,
        Method::Lz4 => LZ4_RATIO,
    };
    if length > MAX_BODY.min(packed.len().saturating_mul(ratio)) {
        return None;
    }
    let mut body = Vec::new();
    body.try_reserve_exact(length).ok()?;
    let size = match method {
        Method::Raw => {
            body.extend_from_slice(packed);
            packed.len()
        }
        Method::Zstd => {
            thread_local! {
                /// To make one takes longer than to expand a small body with it.
                static DECOMPRESSOR: RefCell<Decompressor<'static>> = RefCell::default();
            }
            DECOMPRESSOR.with_borrow_mut(|zstd| zstd.decompress_to_buffer(packed, &mut body)).ok()?
        }
        Method::Lz4 => {
            body.resize(length, 0);
            lz4::decompress_into(packed, &mut body).ok()?
        }
    };
    (size == length).then_some(body)
}

/// Whether a body with these fields may become smaller: if neither its coding nor its media type is a compressed one.
pub(super) fn is_worthwhile(headers: &HeaderMap) -> bool {
    let plain = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"identity");
    headers.get_all(header::CONTENT_ENCODING).iter().all(|coding| plain(coding.as_bytes()))
        && !media_type::essence(headers).is_some_and(is_compressed)
}

/// Whether bodies of a media type are compressed by nature.
fn is_compressed(essence: &str) -> bool {
    let essence = essence.to_ascii_lowercase();
    let Some((kind, name)) = essence.split_once('/') else { return false };
    let archive = |name: &str| {
        ["zip", "gzip", "zstd", "brotli", "bzip", "bzip2", "xz", "lzma", "compress", "7z-compressed", "rar-compressed"]
            .contains(&name)
    };
    match kind {
        "audio" | "video" => true,
        "image" => !["svg+xml", "bmp", "x-bmp", "x-ms-bmp"].contains(&name),
        "font" => name.starts_with("woff"),
        "application" => {
            archive(name.strip_prefix("x-").unwrap_or(name))
                || name.ends_with("+zip")
                || name.ends_with("+gzip")
                || name.starts_with("font-woff")
                // Office documents are zip files.
                || name.starts_with("vnd.openxmlformats-officedocument.")
                || name.starts_with("vnd.oasis.opendocument.")
                || ["pdf", "java-archive", "vnd.rar", "vnd.android.package-archive", "zlib"].contains(&name)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_is_compressed_already_is_not_compressed_again() {
        for (essence, expected) in [
            ("text/html; charset=utf-8", true),
            ("application/json", true),
            ("application/wasm", true),
            ("application/octet-stream", true),
            ("image/svg+xml", true),
            ("Image/BMP", true),
            ("font/ttf", true),
            ("model/obj", true),
            ("image/png", false),
            ("IMAGE/JPEG", false),
            ("audio/mpeg", false),
            ("video/mp4", false),
            ("font/woff2", false),
            ("application/font-woff", false),
            ("application/zip", false),
            ("application/gzip", false),
            ("application/x-gzip", false),
            ("application/zstd", false),
            ("application/x-7z-compressed", false),
            ("application/pdf", false),
            ("application/epub+zip", false),
            ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", false),
        ] {
            assert_eq!(is_worthwhile(&fields(&[("content-type", essence)])), expected, "{essence}");
        }
        assert!(is_worthwhile(&HeaderMap::new()));
        assert!(is_worthwhile(&fields(&[("content-encoding", " Identity")])));
        assert!(!is_worthwhile(&fields(&[("content-encoding", "br")])));
        assert!(!is_worthwhile(&fields(&[("content-encoding", "identity"), ("content-encoding", "gzip")])));
    }

    #[test]
    fn a_body_is_kept_as_it_is_where_compression_gains_nothing() {
        // A sequence without a repetition.
        let noise: Vec<_> = (0..64u8).map(|n| n.wrapping_mul(37)).collect();
        for compression in [Compression::Off, Compression::Lz4, Compression::Zstd(3)] {
            for body in [&noise[..], b"a", b""] {
                let mut frame = b"before".to_vec();
                assert_eq!(compression.append(body, &mut frame), Method::Raw);
                assert_eq!(frame, [b"before", body].concat());
            }
        }
    }

    #[test]
    fn a_compressed_body_follows_what_was_there() {
        let body = b"again and ".repeat(100);
        for (compression, expected) in [(Compression::Lz4, Method::Lz4), (Compression::Zstd(3), Method::Zstd)] {
            let mut frame = b"before".to_vec();
            assert_eq!(compression.append(&body, &mut frame), expected);
            let packed = frame.strip_prefix(b"before").expect("untouched");
            assert!(packed.len() < 100);
            assert_eq!(expand(expected, packed, body.len()).as_ref(), Some(&body));
        }
    }
}
