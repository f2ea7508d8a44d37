//! `--fallback`: whom to ask when the upstream fails, and what has to be different in a request for that.

use std::{env, net::SocketAddr, str::FromStr};

use http::{Uri, uri::Scheme};
use larder::retry::{Credentials, Upstream};

use crate::options::web_url;

const TAKES: &str = "takes an http:// or https:// URL with a host and no query, and after it, with commas between, \
                     model=NAME, and key-env=VARIABLE or client-credentials";

/// What one `--fallback` names.
#[derive(Clone, Debug)]
pub(crate) struct FallbackUrl {
    url: Uri,
    upstream: Upstream,
    /// Whether it may do at the same place what the upstream doesn't.
    is_different: bool,
}

impl FallbackUrl {
    pub(crate) fn url(&self) -> &Uri {
        &self.url
    }

    /// The same as a step of the chain, for requests whose path begins with what stands before each path at the upstream.
    pub(crate) fn upstream(&self, prefix: &str) -> Upstream {
        self.upstream.clone().strip_prefix(prefix)
    }
}

impl FromStr for FallbackUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let url = web_url(parts.next().unwrap_or_default()).map_err(|error| format!("{TAKES}{error}"))?;
        let (mut model, mut key, mut keeps) = (None, None, false);
        for part in parts {
            let is_new = match part.split_once('=') {
                Some(("model", name)) if !name.is_empty() => model.replace(name).is_none(),
                Some(("key-env", name)) => key.replace(credentials(name)?).is_none(),
                None if part == "client-credentials" => !std::mem::replace(&mut keeps, true),
                Some(_) | None => return Err(TAKES.into()),
            };
            if !is_new {
                return Err(format!("{TAKES}; each option once"));
            }
        }
        if key.is_some() && keeps {
            return Err("takes key-env=VARIABLE or client-credentials, and not both".into());
        }
        let is_different = model.is_some() || key.is_some();
        let mut upstream = Upstream::to(url.clone()).keep_credentials(keeps);
        if let Some(name) = model {
            upstream = upstream.model(name);
        }
        if let Some(key) = key {
            upstream = upstream.credentials(key);
        }
        Ok(Self { url, upstream, is_different })
    }
}

/// The bearer token in an environment variable. No message has what might be a token given in place of a name.
fn credentials(variable: &str) -> Result<Credentials, String> {
    let is_name = |text: &str| {
        let mut bytes = text.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_uppercase() || byte == b'_')
            && bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let shown = if is_name(variable) { variable } else { "that is named" };
    let token =
        env::var(variable).ok().filter(|token| !token.trim().is_empty() && !variable.is_empty()).ok_or_else(|| {
            format!("key-env takes the name of an environment variable with a key; the variable {shown} isn't set")
        })?;
    Credentials::bearer([token.trim()]).map_err(|_| {
        format!("key-env: what is in the variable {shown} can't be a bearer token; it takes visible ASCII")
    })
}

/// Says what is wrong with URLs that are each good by themselves.
pub(crate) fn check(upstream: &Uri, fallbacks: &[FallbackUrl], own: SocketAddr) -> anyhow::Result<()> {
    if is_at(upstream, own) {
        anyhow::bail!("--upstream {upstream} is where the proxy itself listens; take another address for one of them");
    }
    for FallbackUrl { url, is_different, .. } in fallbacks {
        if is_at(url, own) {
            anyhow::bail!("--fallback {url} is where the proxy itself listens; take another address for one of them");
        }
        if !is_different && place(url) == place(upstream) {
            anyhow::bail!(
                "--fallback {url} is the upstream itself; take another URL, or add a model or a key: ,model=NAME or ,key-env=VARIABLE"
            );
        }
    }
    Ok(())
}

/// What tells one upstream from another, however it is written.
fn place(url: &Uri) -> (Option<&Scheme>, String, Option<u16>, &str) {
    (url.scheme(), url.host().unwrap_or_default().to_ascii_lowercase(), port(url), url.path().trim_end_matches('/'))
}

fn port(url: &Uri) -> Option<u16> {
    let usual = if url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    url.port_u16().or(Some(usual))
}

/// Whether a URL leads to what listens at this address.
fn is_at(url: &Uri, listening: SocketAddr) -> bool {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_host = match host.parse::<std::net::IpAddr>() {
        Ok(ip) if listening.ip().is_unspecified() => ip.is_loopback() || ip.is_unspecified(),
        Ok(ip) => ip == listening.ip(),
        Err(_) if host.eq_ignore_ascii_case("localhost") => {
            listening.ip().is_loopback() || listening.ip().is_unspecified()
        }
        Err(_) => false,
    };
    is_host && port(url) == Some(listening.port())
}

/// A value of `--fallback` or `--upstream` as it may be said: what isn't scheme and host may be secret.
pub(crate) fn shown(text: &str) -> String {
    let url = text.split(',').next().and_then(|url| url.parse::<Uri>().ok());
    let authority = url.as_ref().and_then(Uri::authority).map(|authority| authority.as_str());
    match (url.as_ref().and_then(Uri::scheme_str), authority.and_then(|authority| authority.rsplit('@').next())) {
        (Some(scheme), Some(host)) => format!("{scheme}://{host}…"),
        _ => "…".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_knows_itself_by_each_of_its_names() {
        let at = |url: &str, own: &str| is_at(&url.parse().expect("a URL"), own.parse().expect("an address"));
        for (url, own) in [
            ("http://127.0.0.1:8080/v1", "127.0.0.1:8080"),
            ("http://localhost:8080", "127.0.0.1:8080"),
            ("http://127.0.0.1:8080", "0.0.0.0:8080"),
            ("http://LOCALHOST", "0.0.0.0:80"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("https://127.0.0.1", "127.0.0.1:443"),
        ] {
            assert!(at(url, own), "{url} {own}");
        }
        for (url, own) in [
            ("http://127.0.0.1:8081", "127.0.0.1:8080"),
            ("http://127.0.0.2:8080", "127.0.0.1:8080"),
            ("http://example.org:8080", "0.0.0.0:8080"),
            ("http://127.0.0.1", "127.0.0.1:443"),
        ] {
            assert!(!at(url, own), "{url} {own}");
        }
    }

    #[test]
    fn one_place_is_known_however_it_is_written() {
        let same = |one: &str, other: &str| {
            let (one, other): (Uri, Uri) = (one.parse().expect("a URL"), other.parse().expect("a URL"));
            place(&one) == place(&other)
        };
        assert!(same("https://a", "https://A:443/"));
        assert!(same("http://a/v1", "http://a:80/v1/"));
        assert!(!same("http://a/v1", "http://a/v2"));
        assert!(!same("http://a", "https://a"));
    }

    #[test]
    fn nothing_secret_is_shown() {
        for (text, expected) in [
            ("https://user:s3cret@host/x,key-env=s3cret", "https://host…"),
            ("https://host?key=s3cret", "https://host…"),
            ("s3cret", "…"),
            ("", "…"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }
}
