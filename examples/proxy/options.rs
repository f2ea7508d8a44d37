//! The command line. A bad value ends the program with a message that names the flag and what it takes.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, ValueEnum,
    builder::BoolishValueParser,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};
use http::{
    Uri,
    uri::{Authority, Scheme},
};
use larder::llm::Prices;

use ipnet::IpNet;
use larder::rate_limit::OnFailure;

use crate::{
    admin::{self, Token},
    default_response::DefaultResponse,
    fallback::{self, FallbackUrl},
    limits::{self, FieldFlag, LimitFlag, LimitStore},
    prices,
    stores::{self, StoreUrl},
};

/// A caching reverse proxy for LLM APIs and plain HTTP.
#[derive(Debug, Parser)]
#[command(name = "proxy", version)]
pub(crate) struct Options {
    // Not a doc comment, in which an address would need brackets that the help then shows.
    #[arg(help = "Where requests go that the cache can't answer, such as https://api.openai.com", long, env = "LARDER_UPSTREAM", value_name = "URL", value_parser = upstream, required_unless_present = "demo")]
    pub(crate) upstream: Option<Uri>,

    /// Start a small built-in upstream that speaks OpenAI's API, and print requests to try
    #[arg(long, env = "LARDER_DEMO", value_parser = BoolishValueParser::new())]
    pub(crate) demo: bool,

    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "LARDER_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = address)]
    pub(crate) listen: SocketAddr,

    /// How many more tries a request gets after the first, if it failed in a way that may pass; 0 for none
    #[arg(long, env = "LARDER_RETRIES", value_name = "N", default_value = "2", value_parser = retries)]
    pub(crate) retries: u32,

    /// How long a try may take until its answer begins
    #[arg(long, env = "LARDER_ATTEMPT_TIMEOUT", value_name = "TIME", default_value = "10m", value_parser = positive_time)]
    pub(crate) attempt_timeout: Duration,

    /// How long all tries of a request may take together, with the waits between them and those at other upstreams, until its
    /// answer begins; `none`: as long as it takes
    #[arg(long, env = "LARDER_DEADLINE", value_name = "TIME", default_value = "none", value_parser = deadline)]
    pub(crate) deadline: Deadline,

    // Not a doc comment, for the sake of the URL.
    #[arg(
        help = "Whom to ask when the upstream fails, such as https://mirror.example; several are asked in turn, in the environment with spaces between. After the URL, with commas: model=NAME, the model to ask for there; key-env=VARIABLE, the environment variable with the bearer token for it; client-credentials, to send the client's own credentials there (they are not sent by default)",
        long,
        env = "LARDER_FALLBACK",
        value_name = "URL[,OPTION]",
        value_delimiter = ' ',
        hide_env_values = true
    )]
    pub(crate) fallback: Vec<FallbackUrl>,

    /// A JSON file with what to answer when nobody else does: `status` (200 by default), `headers` (an object), and `body` (a
    /// string, or any other JSON, which is sent as such)
    #[arg(long, env = "LARDER_DEFAULT_RESPONSE", value_name = "FILE", value_parser = DefaultResponse::read)]
    pub(crate) default_response: Option<DefaultResponse>,

    /// A JSON file with what tokens cost, in US dollars and in LiteLLM's schema, over the prices that larder knows; for what the
    /// log says of costs and savings
    #[arg(long, env = "LARDER_PRICES", value_name = "FILE", value_parser = prices::read)]
    pub(crate) prices: Option<Prices>,

    /// Say in answers what they saved, in the field `larder-saved`, and in `larder-cost` if they cost nothing
    #[arg(long, env = "LARDER_COST_FIELDS", value_parser = BoolishValueParser::new())]
    pub(crate) cost_fields: bool,

    /// Keep embeddings text by text, so that a batch asks only for those that are new (profile `llm`)
    #[arg(long, env = "LARDER_EMBEDDINGS_PER_ITEM", value_parser = BoolishValueParser::new())]
    pub(crate) embeddings_per_item: bool,

    /// What is cached: `http`, GET and HEAD as RFC 9111 has it for a shared cache; `llm`, besides that, POSTs to generation
    /// endpoints, by their body and per credential
    #[arg(long, env = "LARDER_PROFILE", value_enum, default_value_t = Profile::Llm)]
    pub(crate) profile: Profile,

    // Not a doc comment, for the sake of the URL.
    #[arg(
        help = "Where responses are kept: memory:SIZE, or the URL of a Redis such as redis://127.0.0.1:6379; several, each in front of the next, are given nearest first, in the environment with spaces between",
        long,
        env = "LARDER_STORE",
        value_name = "STORE",
        default_value = "memory:256MiB",
        value_delimiter = ' ',
        hide_env_values = true
    )]
    pub(crate) store: Vec<StoreUrl>,

    /// What every key in Redis begins with
    #[arg(long, env = "LARDER_STORE_PREFIX", value_name = "TEXT", default_value = "larder", value_parser = stores::prefix)]
    pub(crate) store_prefix: String,

    /// How long a request waits for an answer of Redis
    #[arg(long, env = "LARDER_STORE_TIMEOUT", value_name = "TIME", default_value = "50ms", value_parser = positive_time)]
    pub(crate) store_timeout: Duration,

    /// A file of certificates, as PEM, to trust when Redis is reached with TLS; the default is what the system trusts
    #[arg(long, env = "LARDER_STORE_CA", value_name = "FILE")]
    pub(crate) store_ca: Option<PathBuf>,

    /// A file of keys, each 64 hexadecimal digits, with which entries in Redis are encrypted; the first is the current one, the
    /// others still open what they closed
    #[arg(long, env = "LARDER_STORE_KEYS", value_name = "FILE")]
    pub(crate) store_keys: Option<PathBuf>,

    /// How long answers to generation requests are fresh
    #[arg(long, env = "LARDER_TTL", value_name = "TIME", default_value = "24h", value_parser = positive_time)]
    pub(crate) ttl: Duration,

    /// For how long after that they may be served while they are refreshed
    #[arg(long, env = "LARDER_STALE_WHILE_REVALIDATE", value_name = "TIME", default_value = "0s", value_parser = time)]
    pub(crate) stale_while_revalidate: Duration,

    /// For how long after that they may be served in place of an error
    #[arg(long, env = "LARDER_STALE_IF_ERROR", value_name = "TIME", default_value = "7d", value_parser = time)]
    pub(crate) stale_if_error: Duration,

    /// The largest response that is kept
    #[arg(long, env = "LARDER_MAX_BODY", value_name = "SIZE", default_value = "16MiB", value_parser = body_size)]
    pub(crate) max_body: usize,

    // Not a doc comment, for the sake of the brackets.
    #[arg(
        help = "How much clients may use, as AMOUNT[req|tok|bytes]/WINDOW:SUBJECT[:PATH], such as 20/min:key:/v1/chat; may be given several times, in the environment with spaces between. WINDOW: s, min, h, d, a time such as 90s, or concurrent. SUBJECT: ip; key, whatever `Authorization: Bearer`, `X-Api-Key` and the like say; header=NAME; all, for one quota that all share. Who has no key counts by address. After it, with commas: name=NAME; algorithm=strict|approximate|log; shadow, to log what would be denied and deny nothing. Keys are kept as hashes, made with the secret in the environment variable LARDER_LIMIT_SECRET",
        long,
        env = "LARDER_LIMIT",
        value_name = "LIMIT",
        value_delimiter = ' '
    )]
    pub(crate) limit: Vec<LimitFlag>,

    // Not a doc comment, for the sake of the URL.
    #[arg(
        help = "Where use is counted: the URL of a Redis such as redis://127.0.0.1:6379, for all proxies that have it; the default is this process",
        long,
        env = "LARDER_LIMIT_STORE",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) limit_store: Option<LimitStore>,

    /// How long a request waits for that Redis
    #[arg(long, env = "LARDER_LIMIT_STORE_TIMEOUT", value_name = "TIME", default_value = "50ms", value_parser = positive_time)]
    pub(crate) limit_store_timeout: Duration,

    /// A file of certificates, as PEM, to trust when that Redis is reached with TLS; the default is what the system trusts
    #[arg(long, env = "LARDER_LIMIT_STORE_CA", value_name = "FILE")]
    pub(crate) limit_store_ca: Option<PathBuf>,

    /// What is done while that Redis doesn't answer: `open`, requests pass; `closed`, they are refused with 503; `local`, each proxy
    /// counts by itself, `local:N` with an Nth of each quota
    #[arg(long, env = "LARDER_LIMIT_ON_FAILURE", value_name = "POLICY", default_value = "local", value_parser = limits::on_failure)]
    pub(crate) limit_on_failure: OnFailure,

    /// The network of a proxy that is believed when it says whom a request came from, such as 10.0.0.0/8; may be given several times,
    /// in the environment with spaces between
    #[arg(long, env = "LARDER_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ' ', value_parser = limits::network)]
    pub(crate) trusted_proxy: Vec<IpNet>,

    /// The field in which these proxies say it
    #[arg(long, env = "LARDER_FORWARDED_FIELD", value_enum, default_value_t = FieldFlag::XForwardedFor)]
    pub(crate) forwarded_field: FieldFlag,

    /// Where to serve the admin API, apart from `--listen`: health, statistics, what is kept, purges, limits and metrics; without
    /// `--admin-token` on a loopback address only, such as 127.0.0.1:9090
    #[arg(long, env = "LARDER_ADMIN", value_name = "ADDR", value_parser = address)]
    pub(crate) admin: Option<SocketAddr>,

    /// The bearer token that the admin API takes; in the environment other users of the machine can't see it
    #[arg(long, env = "LARDER_ADMIN_TOKEN", value_name = "TOKEN", value_parser = admin::token, hide_env_values = true)]
    pub(crate) admin_token: Option<Token>,

    /// How many threads serve; the default is one for each core
    #[arg(long, env = "LARDER_THREADS", value_name = "N", default_value_t = cores(), value_parser = threads, hide_default_value = true)]
    pub(crate) threads: usize,

    /// What is logged: error, warn, info, debug, trace, or tracing directives
    #[arg(long, env = "LARDER_LOG", value_name = "LEVEL", default_value = "info", value_parser = log)]
    pub(crate) log: String,
}

impl Options {
    /// The options of this process; what makes no sense ends it.
    pub(crate) fn of_process() -> Self {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(std::env::args_os());
        let matches = matches.unwrap_or_else(|error| discreet(error).exit());
        let mut options = match Self::from_arg_matches(&matches) {
            Ok(options) => options,
            Err(error) => error.format(&mut command).exit(),
        };
        if options.demo && options.upstream.is_some() {
            // An upstream in the environment is there for other days; both flags at once are a mistake.
            if matches.value_source("upstream") == Some(ValueSource::CommandLine) {
                let problem =
                    "the argument '--demo' brings an upstream of its own and cannot be used with '--upstream <URL>'";
                command.error(ErrorKind::ArgumentConflict, problem).exit();
            }
            options.upstream = None;
        }
        options
    }

    /// How long looking a request up may take: longer than one answer of Redis, so that Redis is blamed for what it doesn't answer.
    pub(crate) fn lookup_timeout(&self) -> Duration {
        (self.store_timeout * 2).max(Duration::from_millis(250))
    }

    /// What they say of the stores.
    pub(crate) fn stores(&self) -> stores::Settings {
        stores::Settings {
            max_body: self.max_body,
            prefix: self.store_prefix.clone(),
            timeout: self.store_timeout,
            root_certificates: self.store_ca.clone(),
            keys: self.store_keys.clone(),
        }
    }
}

/// An error that tells no password: clap shows values as they were given.
fn discreet(mut error: clap::Error) -> clap::Error {
    let text = |error: &clap::Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(_) | None => String::new(),
    };
    let (flag, value) = (text(&error, ContextKind::InvalidArg), text(&error, ContextKind::InvalidValue));
    if flag.starts_with("--store <") || flag.starts_with("--limit-store <") || value.contains('@') {
        error.insert(ContextKind::InvalidValue, ContextValue::String(stores::shown(&value)));
    }
    if flag.starts_with("--fallback ") || flag.starts_with("--upstream ") && value.contains('?') {
        error.insert(ContextKind::InvalidValue, ContextValue::String(fallback::shown(&value)));
    }
    if !flag.starts_with('-') && flag.contains('@') {
        error.insert(ContextKind::InvalidArg, ContextValue::String(stores::shown(&flag)));
    }
    error
}

/// What is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// GET and HEAD by RFC 9111, and generation requests by body.
    Llm,
    /// GET and HEAD by RFC 9111.
    Http,
}

fn upstream(text: &str) -> Result<Uri, String> {
    let takes = "takes an http:// or https:// URL with a host and no query, such as https://api.openai.com";
    web_url(text).map_err(|error| format!("{takes}{error}"))
}

/// A URL with a host, and with nothing in it that is secret or for one request. The error is what else there is to say.
pub(crate) fn web_url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("; {error}"))?;
    let web = uri.scheme() == Some(&Scheme::HTTP) || uri.scheme() == Some(&Scheme::HTTPS);
    // A port that is out of range reads as none, with its digits left in.
    let port = |authority: &Authority| {
        let after_host = authority.as_str().strip_prefix(authority.host());
        after_host == Some("") || (authority.port_u16().is_some_and(|port| port > 0))
    };
    let plain = uri.query().is_none()
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@') && port(authority));
    if web && plain && uri.host().is_some_and(|host| !host.is_empty()) { Ok(uri) } else { Err(String::new()) }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "takes an IP address and a port, such as 127.0.0.1:8080 or [::1]:0".into())
}

fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text);
    let within = time.ok().filter(|time| *time <= Duration::from_secs(100 * 366 * 24 * 60 * 60));
    within.ok_or_else(|| "takes a time of at most a hundred years, such as 0s, 90s, 24h or 7d".into())
}

fn positive_time(text: &str) -> Result<Duration, String> {
    let above_zero = time(text).ok().filter(|time| !time.is_zero());
    above_zero.ok_or_else(|| "takes a time above zero and of at most a hundred years, such as 50ms, 90s or 24h".into())
}

/// A time, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(pub(crate) Option<Duration>);

fn deadline(text: &str) -> Result<Deadline, String> {
    if text == "none" {
        return Ok(Deadline(None));
    }
    let takes = "takes a time above zero and of at most a hundred years, such as 30s or 5m, or none";
    positive_time(text).map(|time| Deadline(Some(time))).map_err(|_| takes.into())
}

fn retries(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| (0..=100).contains(count));
    count.ok_or_else(|| "takes a number from 0, for none, to 100".into())
}

pub(crate) fn size(text: &str) -> Result<u64, String> {
    let size: Result<ByteSize, _> = text.parse();
    size.map(|size| size.as_u64()).map_err(|_| "a size is a number and a unit, such as 64KiB, 16MiB or 2GiB".into())
}

fn body_size(text: &str) -> Result<usize, String> {
    let takes = "takes a size from 1B to 1TiB, such as 16MiB";
    let size = size(text).map_err(|_| takes)?;
    Some(size)
        .filter(|size| (1..=1 << 40).contains(size))
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| takes.into())
}

fn threads(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=1024).contains(count));
    count.ok_or_else(|| "takes a number from 1 to 1024".into())
}

fn log(text: &str) -> Result<String, String> {
    let takes = "takes error, warn, info, debug, trace, or tracing directives such as larder=debug";
    // A word that is no level would be taken for a target, and silence all others.
    let is_level = |part: &str| part.trim().parse::<tracing::level_filters::LevelFilter>().is_ok();
    let levels = text.split(',').all(|part| part.contains(['=', '[', ']', '}']) || is_level(part));
    let valid = levels && tracing_subscriber::EnvFilter::try_new(text).is_ok();
    if valid { Ok(text.to_owned()) } else { Err(takes.into()) }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
