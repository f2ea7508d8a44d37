//! [`Below`]: a path and what lies below it, however a request writes it.

/// A path, and all that lies below it.
///
/// Servers differ in whether they decode `%63`, merge `//` and resolve `..` before they look where a request goes. So a request is
/// meant by what it says, and by what it may be taken to say: else a limit would be passed by writing its path in another way.
pub(super) struct Below {
    written: Box<str>,
    plain: Vec<u8>,
    /// Whether both are the same.
    is_plain: bool,
}

impl Below {
    pub(super) fn new(path: &str) -> Self {
        let written = path.trim_end_matches('/');
        Self { written: written.into(), plain: plain(written), is_plain: is_plain(written) }
    }

    /// Whether a path is this one, or lies below it.
    pub(super) fn has(&self, path: &str) -> bool {
        lies_below(path.as_bytes(), self.written.as_bytes())
            || !(self.is_plain && is_plain(path)) && lies_below(&plain(path), &self.plain)
    }
}

fn lies_below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.first().is_none_or(|next| *next == b'/'))
}

/// Whether there is but one way to read it.
fn is_plain(path: &str) -> bool {
    !path.contains('%') && !path.contains("//") && !path.contains("/.")
}

/// The path decoded, without empty segments, and without those that mean themselves or the one above; without a slash at its end.
pub(crate) fn plain(path: &str) -> Vec<u8> {
    let decoded = decode(path.as_bytes());
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in decoded.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    segments.iter().flat_map(|segment| [&b"/"[..], segment].concat()).collect()
}

/// Decodes each `%XX` once; what isn't one stays.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, after)) = rest.split_first() {
        let escaped = (*byte == b'%').then(|| after.first_chunk::<2>().and_then(hexadecimal)).flatten();
        decoded.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    decoded
}

fn hexadecimal(digits: &[u8; 2]) -> Option<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(value(digits[0])? << 4 | value(digits[1])?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_has_itself_and_what_lies_below() {
        let chat = Below::new("/v1/chat/");
        for path in ["/v1/chat", "/v1/chat/", "/v1/chat/completions"] {
            assert!(chat.has(path), "{path}");
        }
        for path in ["/", "/v1", "/v1/chats", "/v1/cha", "/v2/chat", "/V1/chat", "/x/v1/chat", "*"] {
            assert!(!chat.has(path), "{path}");
        }
        for path in ["/", "/a", "//", "/%2e%2e"] {
            assert!(Below::new("/").has(path) && Below::new("").has(path), "{path}");
        }
    }

    #[test]
    fn a_limit_is_not_passed_by_writing_its_path_in_another_way() {
        let chat = Below::new("/v1/chat");
        for path in [
            "/v1/%63hat",
            "/%76%31/chat/completions",
            "/v1%2Fchat",
            "/v1%2fchat",
            "//v1/chat",
            "/v1///chat/x",
            "/v1/./chat",
            "/v1/x/../chat",
            "/v1/x/%2e%2E/chat",
            "/../v1/chat",
            "/v1/chat/../models",
        ] {
            assert!(chat.has(path), "{path}");
        }
        for path in ["/v1/%2563hat", "/v1/%6", "/v1/%zzchat", "/v1/chat%20", "/v1/../chat"] {
            assert!(!chat.has(path), "{path}");
        }
        assert!(Below::new("/a%20b").has("/a%20b/c") && Below::new("/%61").has("/a"));
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_panic(path in "[%/.a-c0-9]{0,20}", above in "[%/.a-c0-9]{0,8}") {
            prop_assert!(Below::new(&path).has(&path));
            let _ = Below::new(&above).has(&path);
        }

        #[test]
        fn each_sign_may_be_escaped(path in "(/[a-z]{1,4}){1,4}", which in any::<u32>()) {
            let escape = |(at, byte): (usize, u8)| match which >> (at % 32) & 1 {
                1 => format!("%{byte:02x}"),
                _ => char::from(byte).to_string(),
            };
            let written: String = ["/".to_owned()].into_iter().chain(path.bytes().enumerate().map(escape)).collect();
            prop_assert!(Below::new(&path).has(&written), "{}", written);
        }
    }
}
