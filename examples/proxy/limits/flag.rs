//! `--limit`: how much of what, in how long, for whom, and where.

use std::{fmt::Write as _, str::FromStr, time::Duration};

use http::{HeaderName, request::Parts};
use larder::{
    llm,
    rate_limit::{Algorithm, Limit, Policy, Quota, Subject, SubjectOf as _, Unit},
};

use super::Clients;

const TAKES: &str = "takes AMOUNT[req|tok|bytes]/WINDOW:SUBJECT[:PATH], such as 20/min:key:/v1/chat; WINDOW is s, min, h, d, a time \
                     such as 90s, or concurrent; SUBJECT is ip, key, all or header=NAME; after it may come, with commas between, \
                     name=NAME, algorithm=strict|approximate|log, and shadow";

/// What one `--limit` says.
#[derive(Clone, Debug)]
pub(crate) struct LimitFlag {
    name: String,
    quota: Quota,
    whose: Whose,
    path: Option<String>,
    is_shadow: bool,
}

/// Whose use is counted apart.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Whose {
    Address,
    Key,
    Everyone,
    Field(HeaderName),
}

impl LimitFlag {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it counts by what is hashed.
    pub(super) fn hashes(&self) -> bool {
        matches!(self.whose, Whose::Key | Whose::Field(_))
    }

    /// The same for the layer. Its path is the client's, without what stands before each path at the upstream.
    pub(super) fn limit(&self, prefix: &str, clients: &Clients) -> Limit {
        let mut limit = Limit::new(self.quota).named(&self.name).shadow(self.is_shadow);
        if self.quota.unit() == Unit::Tokens {
            limit = limit.meter(llm::Tokens::new());
        }
        if let Some(path) = &self.path {
            limit = limit.on_path(format!("{prefix}{path}"));
        }
        let (address, key) = (clients.address.clone(), clients.secret.clone());
        // Who names nobody would else be without a limit.
        match &self.whose {
            Whose::Everyone => limit,
            Whose::Address => limit.per(address),
            Whose::Key => limit.per(move |head: &Parts| key.subject(head).or_else(|| address.subject(head))),
            Whose::Field(name) => {
                let field = key.field(name.clone());
                let named = move |head: &Parts| field.digest(head).map(|digest| Subject::hashed("header", digest));
                limit.per(move |head: &Parts| named(head).or_else(|| address.subject(head)))
            }
        }
    }
}

impl FromStr for LimitFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let mut words = parts.next().unwrap_or_default().splitn(3, ':');
        let (quota, whose, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next());
        let quota = read_quota(quota)?;
        let whose = read_whose(whose)?;
        if path.is_some_and(|path| !path.starts_with('/') || path.contains(['?', '#', ' '])) {
            return Err(wrong("a path begins with / and has no query"));
        }
        let (mut name, mut algorithm, mut is_shadow) = (None, None, false);
        for part in parts {
            let is_new = match part.split_once('=') {
                Some(("name", given)) => name.replace(given).is_none(),
                Some(("algorithm", given)) => algorithm.replace(read_algorithm(given)?).is_none(),
                None if part == "shadow" => !std::mem::replace(&mut is_shadow, true),
                Some(_) | None => return Err(wrong(&format!("an option is none of these: {part:?}"))),
            };
            if !is_new {
                return Err(wrong("each option once"));
            }
        }
        let quota = match algorithm {
            Some(_) if quota.unit() == Unit::Concurrent => {
                return Err(wrong("what is used at the same time needs no algorithm"));
            }
            Some(algorithm) => quota.algorithm(algorithm),
            None => quota,
        };
        let path = path.map(str::to_owned);
        let name = name.map_or_else(|| default_name(&quota, &whose, path.as_deref()), str::to_owned);
        Policy::try_new(&name, quota).map_err(|error| wrong(&error.to_string()))?;
        Ok(Self { name, quota, whose, path, is_shadow })
    }
}

fn wrong(what: &str) -> String {
    format!("{TAKES}: {what}")
}

/// `AMOUNT[unit]/WINDOW`.
fn read_quota(text: &str) -> Result<Quota, String> {
    let (amount, window) = text.split_once('/').ok_or_else(|| wrong("there is no /WINDOW"))?;
    let (digits, unit) = amount.split_at(amount.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(amount.len()));
    let amount: u64 = digits.parse().map_err(|_| wrong("it begins with a number"))?;
    let unit = match unit {
        "" | "req" => Unit::Requests,
        "tok" => Unit::Tokens,
        "bytes" => Unit::Bytes,
        _ => return Err(wrong(&format!("a unit is none of these: {unit:?}"))),
    };
    let window = match window {
        "concurrent" if unit == Unit::Requests => return Ok(Quota::concurrent(amount)),
        "concurrent" => return Err(wrong("only requests are counted at the same time")),
        "s" => Duration::from_secs(1),
        "min" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        "d" => Duration::from_secs(24 * 3600),
        other => {
            humantime::parse_duration(other).map_err(|_| wrong(&format!("a window is none of these: {other:?}")))?
        }
    };
    Ok(Quota::per(amount, window).of(unit))
}

fn read_whose(text: &str) -> Result<Whose, String> {
    match (text, text.strip_prefix("header=")) {
        ("ip", _) => Ok(Whose::Address),
        ("key", _) => Ok(Whose::Key),
        ("all", _) => Ok(Whose::Everyone),
        (_, Some(name)) => {
            name.parse().map(Whose::Field).map_err(|_| wrong(&format!("a field can't be called {name:?}")))
        }
        (_, None) => Err(wrong(&format!("a subject is none of these: {text:?}"))),
    }
}

fn read_algorithm(text: &str) -> Result<Algorithm, String> {
    match text {
        "strict" => Ok(Algorithm::default()),
        "approximate" => Ok(Algorithm::Approximate),
        "log" => Ok(Algorithm::Log),
        _ => Err(wrong(&format!("an algorithm is none of these: {text:?}"))),
    }
}

/// What a limit is called if it isn't said: by what it limits, and not by its place among others or its amount, which may change
/// while what is counted stays.
fn default_name(quota: &Quota, whose: &Whose, path: Option<&str>) -> String {
    let mut name = quota.default_name();
    match whose {
        Whose::Everyone => {}
        Whose::Address => name.push_str("-ip"),
        Whose::Key => name.push_str("-key"),
        Whose::Field(field) => {
            let _ = write!(name, "-{field}");
        }
    }
    for segment in path.into_iter().flat_map(|path| path.split('/')).filter(|segment| !segment.is_empty()) {
        let plain = |sign: char| if sign.is_ascii_alphanumeric() || "-_.".contains(sign) { sign } else { '-' };
        name.push('-');
        name.extend(segment.chars().map(plain));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> LimitFlag {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_limit_is_what_it_says() {
        for (text, quota, name) in [
            ("20/min:key:/v1/chat", Quota::per_minute(20), "rpm-key-v1-chat"),
            ("100req/s:ip", Quota::per_second(100), "rps-ip"),
            ("90000tok/min:key", Quota::per_minute(90_000).of(Unit::Tokens), "tpm-key"),
            ("1000000bytes/h:all", Quota::per_hour(1_000_000).of(Unit::Bytes), "bph"),
            ("5/d:header=X-Org-Id", Quota::per_day(5), "rpd-x-org-id"),
            ("7/90s:all:/", Quota::per(7, Duration::from_secs(90)), "requests-90s"),
            ("7/60s:all", Quota::per_minute(7), "rpm"),
            ("7tok/1500ms:all", Quota::per(7, Duration::from_millis(1500)).of(Unit::Tokens), "tokens-1500ms"),
            ("4/concurrent:key", Quota::concurrent(4), "concurrent-key"),
            ("0/min:all", Quota::per_minute(0), "rpm"),
            ("1/s:all:/a:b/%20/", Quota::per_second(1), "rps-a-b--20"),
            ("1/s:ip,algorithm=log", Quota::per_second(1).algorithm(Algorithm::Log), "rps-ip"),
            ("1/s:ip,shadow,name=mine", Quota::per_second(1), "mine"),
        ] {
            let limit = read(text);
            assert_eq!((limit.quota, limit.name()), (quota, name), "{text}");
            assert_eq!(limit.is_shadow, text.contains("shadow"), "{text}");
        }
        assert_eq!(read("5/d:header=X-Org-Id").whose, Whose::Field(HeaderName::from_static("x-org-id")));
        assert_eq!(read("1/s:all:/a:b").path.as_deref(), Some("/a:b"));
    }

    #[test]
    fn what_is_no_limit_is_refused_and_says_what_is() {
        for (text, said) in [
            ("", "WINDOW"),
            ("20", "no /WINDOW"),
            ("/min:key", "a number"),
            ("-1/min:key", "a number"),
            ("99999999999999999999/min:key", "a number"),
            ("9999999999999999/min:key", "more than can be counted"),
            ("20rq/min:key", "\"rq\""),
            ("20/fortnight:key", "\"fortnight\""),
            ("20/:key", "\"\""),
            ("20/0s:key", "1 ms to 366 days"),
            ("20/400d:key", "1 ms to 366 days"),
            ("20tok/concurrent:key", "only requests"),
            ("20/min", "\"\""),
            ("20/min:user", "\"user\""),
            ("20/min:header=", "\"\""),
            ("20/min:header=a b", "\"a b\""),
            ("20/min:key:", "begins with /"),
            ("20/min:key:v1", "begins with /"),
            ("20/min:key:/v1?x", "no query"),
            ("20/min:key,", "\"\""),
            ("20/min:key,shadow=yes", "\"shadow=yes\""),
            ("20/min:key,shadow,shadow", "once"),
            ("20/min:key,name=a,name=b", "once"),
            ("20/min:key,name=", "1 to 64"),
            ("20/min:key,name=a b", "1 to 64"),
            ("20/min:key,algorithm=leaky", "\"leaky\""),
            ("4/concurrent:key,algorithm=log", "no algorithm"),
        ] {
            let error = text.parse::<LimitFlag>().expect_err(text);
            assert!(error.contains(said) && error.contains("20/min:key:/v1/chat"), "{text}: {error}");
        }
    }
}
