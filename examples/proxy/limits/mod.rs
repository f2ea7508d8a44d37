//! What clients may use, by the flags: `--limit`, and what says how it is counted.

mod flag;
mod limiter;
mod secret;

use std::{collections::HashSet, net::IpAddr};

use ipnet::IpNet;
use larder::rate_limit::{Address, ApiKey, ForwardedField, OnFailure, Problem, RateLimitLayer, limiter::BoxLimiter};

pub(crate) use self::{flag::LimitFlag, limiter::LimitStore};
use crate::options::{Options, Profile};

/// The layer, in front of paths that begin with what stands before each path at the upstream; `None` if nothing is limited.
pub(crate) fn layer(
    limits: &[LimitFlag],
    options: &Options,
    prefix: &str,
) -> anyhow::Result<Option<RateLimitLayer<BoxLimiter>>> {
    if limits.is_empty() {
        return Ok(None);
    }
    let mut names = HashSet::new();
    for limit in limits {
        let name = limit.name();
        if !names.insert(name.to_owned()) {
            anyhow::bail!("--limit: two limits are called {name}; give one of them another name: ,name=NAME");
        }
    }
    let shared = limiter::is_shared(options);
    let clients = Clients {
        secret: secret::of_process(shared && limits.iter().any(LimitFlag::hashes))?,
        address: Address::new()
            .trusted_proxies(options.trusted_proxy.iter().copied())
            .field(options.forwarded_field.into()),
    };
    let mut builder = RateLimitLayer::builder(limiter::open(options)?)
        .on_failure(options.limit_on_failure)
        .free_hits(true)
        .problem(Problem::new().error_member(options.profile == Profile::Llm));
    for limit in limits {
        builder = builder.limit(limit.limit(prefix, &clients));
    }
    Ok(Some(builder.try_build()?))
}

/// How clients are told apart.
#[derive(Debug)]
struct Clients {
    secret: ApiKey,
    address: Address,
}

/// What `--trusted-proxy` takes.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| "takes a network or an address, such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7".into())
}

/// What `--forwarded-field` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FieldFlag {
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `Forwarded` (RFC 7239)
    Forwarded,
}

impl From<FieldFlag> for ForwardedField {
    fn from(flag: FieldFlag) -> Self {
        match flag {
            FieldFlag::XForwardedFor => Self::XForwardedFor,
            FieldFlag::Forwarded => Self::Forwarded,
        }
    }
}

/// What `--limit-on-failure` takes.
pub(crate) fn on_failure(text: &str) -> Result<OnFailure, String> {
    let replicas = |text: &str| text.parse().ok().filter(|count| (1..=10_000).contains(count));
    match text.split_once(':') {
        None if text == "open" => Some(OnFailure::Open),
        None if text == "closed" => Some(OnFailure::Closed),
        None if text == "local" => Some(OnFailure::local(1)),
        Some(("local", count)) => replicas(count).map(OnFailure::local),
        Some(_) | None => None,
    }
    .ok_or_else(|| {
        "takes open, closed, local, or local:REPLICAS, such as local:4 where four proxies count together".into()
    })
}
