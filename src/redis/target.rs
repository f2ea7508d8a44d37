//! Where Redis is: one server, a master that Sentinels know, or a Cluster; read from a URL.

use std::fmt;

use ::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, parse_redis_url};

use crate::ConfigError;

const SETTING: &str = "redis URL";
const TAKES: &str = "take redis://, rediss:// or unix://, such as redis://:password@127.0.0.1:6379/0, \
                     redis://s1:26379,s2:26379?sentinel=mymaster or redis://n1:6379,n2:6379?cluster_enabled=true";

/// Where Redis is, and what it asks of those who connect.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) topology: Topology,
    /// One server; or the Sentinels; or some nodes of the Cluster.
    pub(super) nodes: Vec<ConnectionInfo>,
    pub(super) tls: bool,
    pub(super) login: Login,
    /// What Sentinels ask for, if not nothing.
    pub(super) sentinel_login: Login,
    pub(super) database: i64,
}

/// How servers make up one Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Topology {
    /// One server.
    Standalone,
    /// The master that goes by this name.
    Sentinel(String),
    Cluster,
}

/// A name and a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

impl Target {
    /// Reads a URL.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let (text, query) = text.split_once('?').unwrap_or((text, ""));
        let (scheme, rest) = text.split_once("://").ok_or_else(|| refused("it has no scheme"))?;
        let query = Query::parse(query)?;
        match scheme {
            "unix" | "redis+unix" | "valkey+unix" => Self::socket(text, &query),
            "redis" | "valkey" => Self::tcp(rest, query.ssl.unwrap_or(false), query),
            "rediss" | "valkeys" if query.ssl == Some(false) => Err(refused("ssl=false contradicts its scheme")),
            "rediss" | "valkeys" => Self::tcp(rest, true, query),
            other => Err(refused(&format!("{other}:// is no scheme of Redis"))),
        }
    }

    fn socket(text: &str, query: &Query) -> Result<Self, ConfigError> {
        if query.sentinel.is_some() || query.cluster || query.ssl == Some(true) {
            return Err(refused("a socket has no sentinel, cluster_enabled or ssl"));
        }
        let node = node(text)?;
        let login = query.login.clone();
        let database = query.database.unwrap_or_default();
        let (nodes, sentinel_login) = (vec![node], Login::default());
        Ok(Self { topology: Topology::Standalone, nodes, tls: false, login, sentinel_login, database })
    }

    fn tcp(rest: &str, tls: bool, query: Query) -> Result<Self, ConfigError> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let topology = match (query.sentinel, query.cluster) {
            (Some(_), true) => return Err(refused("it is either sentinel or cluster_enabled")),
            (Some(name), false) => Topology::Sentinel(name),
            (None, true) => Topology::Cluster,
            (None, false) => Topology::Standalone,
        };
        let scheme = if tls { "rediss" } else { "redis" };
        let port = if matches!(topology, Topology::Sentinel(_)) { ":26379" } else { "" };
        let nodes = hosts.split(',').map(|host| {
            let port = if has_port(host) { "" } else { port };
            let at = if userinfo.is_empty() { "" } else { "@" };
            node(&format!("{scheme}://{userinfo}{at}{host}{port}/{path}"))
        });
        let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
        let Some(first) = nodes.first() else { return Err(refused("it names no host")) };
        if topology == Topology::Standalone && nodes.len() > 1 {
            return Err(refused(
                "several hosts are Sentinels (add ?sentinel=NAME) or a Cluster (add ?cluster_enabled=true)",
            ));
        }
        let said = first.redis_settings();
        let login = Login {
            username: said.username().map(Into::into).or(query.login.username),
            password: said.password().map(Into::into).or(query.login.password),
        };
        let database = query.database.unwrap_or_else(|| said.db());
        if topology == Topology::Cluster && database != 0 {
            return Err(refused("a Cluster has database 0 only"));
        }
        Ok(Self { topology, tls, login, sentinel_login: query.sentinel_login, database, nodes })
    }

    /// The address of each node.
    pub(super) fn addresses(&self) -> impl Iterator<Item = ConnectionAddr> {
        self.nodes.iter().map(|node| node.addr().clone())
    }
}

/// Shows no secret.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<_> = self.addresses().map(|address| address.to_string()).collect();
        f.debug_struct("Target").field("topology", &self.topology).field("nodes", &nodes).finish_non_exhaustive()
    }
}

/// What stands behind the question mark.
#[derive(Default)]
struct Query {
    sentinel: Option<String>,
    cluster: bool,
    ssl: Option<bool>,
    login: Login,
    sentinel_login: Login,
    database: Option<i64>,
}

impl Query {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut query = Self::default();
        for (name, value) in form(text) {
            let flag = || match value.as_str() {
                "true" | "1" | "yes" => Ok(true),
                "false" | "0" | "no" => Ok(false),
                // Not said: it may be a piece of a password.
                _ => Err(refused(&format!("{name} is neither true nor false"))),
            };
            match name.as_str() {
                "sentinel" | "sentinel_master" | "master_name" if value.is_empty() => {
                    return Err(refused("sentinel takes the master's name"));
                }
                "sentinel" | "sentinel_master" | "master_name" => query.sentinel = Some(value),
                "cluster_enabled" | "cluster" => query.cluster = flag()?,
                "ssl" | "tls" => query.ssl = Some(flag()?),
                "db" | "database" => {
                    let number = value.parse().ok().filter(|number| *number >= 0);
                    query.database = Some(number.ok_or_else(|| refused("db takes a number"))?);
                }
                "user" | "username" => query.login.username = Some(value),
                "pass" | "password" => query.login.password = Some(value),
                "sentinel_username" => query.sentinel_login.username = Some(value),
                "sentinel_password" => query.sentinel_login.password = Some(value),
                // With an @ behind the question mark, that may be a part of the password.
                _ if text.contains('@') => {
                    return Err(refused(
                        "it has an unknown parameter; leave it out, and write a ? in a password as %3F",
                    ));
                }
                other => return Err(refused(&format!("it knows no parameter {other:?}; leave it out"))),
            }
        }
        Ok(query)
    }
}

/// The pairs of a query. What is escaped is read by the parser that redis brings.
fn form(text: &str) -> Vec<(String, String)> {
    let url = parse_redis_url(&format!("redis://h/?{text}"));
    url.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default()
}

fn node(url: &str) -> Result<ConnectionInfo, ConfigError> {
    // The error may hold the URL, and so a password.
    let info = url.into_connection_info().map_err(|error| refused(error.detail().unwrap_or("it can't be read")))?;
    if info.redis_settings().db() < 0 {
        return Err(refused("a database has a number from 0 on"));
    }
    Ok(info)
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(before, port)| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && (!before.starts_with('[') || before.ends_with(']'))
    })
}

fn refused(problem: &str) -> ConfigError {
    ConfigError::new(SETTING, format!("{problem}; {TAKES}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        let target = Target::parse(url).expect(url);
        let nodes: Vec<_> = target.addresses().map(|address| address.to_string()).collect();
        let (user, password) = (target.login.username, target.login.password);
        let login = format!("{}:{}", user.unwrap_or_default(), password.unwrap_or_default());
        format!("{:?} {} tls={} {login} db={}", target.topology, nodes.join(","), target.tls, target.database)
    }

    #[test]
    fn every_form_that_users_have_is_read() {
        let cases = [
            ("redis://h", "Standalone h:6379 tls=false : db=0"),
            ("redis://u:p%40@h:1/3", "Standalone h:1 tls=false u:p@ db=3"),
            ("redis://:p@[::1]:7", "Standalone ::1:7 tls=false :p db=0"),
            ("rediss://h", "Standalone h:6379 tls=true : db=0"),
            ("redis://h?ssl=true&db=2", "Standalone h:6379 tls=true : db=2"),
            ("redis://a:1,b:2?cluster_enabled=true", "Cluster a:1,b:2 tls=false : db=0"),
            ("redis://:p@a,[::1],c:9/1?sentinel=main", "Sentinel(\"main\") a:26379,::1:26379,c:9 tls=false :p db=1"),
            ("redis://a?cluster_enabled=false", "Standalone a:6379 tls=false : db=0"),
            ("unix:///tmp/redis.sock?db=4&pass=x", "Standalone /tmp/redis.sock tls=false :x db=4"),
        ];
        for (url, expected) in cases {
            assert_eq!(shown(url), expected, "{url}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_what_to_take_and_tells_no_secret() {
        let cases = [
            ("", "no scheme"),
            ("h:6379", "no scheme"),
            ("http://h", "no scheme of Redis"),
            ("redis://", "redis://"),
            ("redis://:secret@h:99999", "redis://"),
            ("redis://:secret@h/x", "redis://"),
            ("redis://h/-1", "from 0 on"),
            ("redis://a,b", "?sentinel=NAME"),
            ("redis://a/1?cluster_enabled=true", "database 0"),
            ("redis://a?cluster_enabled=true&sentinel=x", "either"),
            ("redis://a?sentinel=", "master's name"),
            ("redis://a?ssl=maybe", "neither true nor false"),
            ("rediss://a?ssl=false", "contradicts"),
            ("redis://:secret@a?no_such=1", "no_such"),
            ("redis://:my?secret@a", "%3F"),
            ("redis://:my?secret=1&x@a", "%3F"),
            ("redis://:my?ssl=secret@a", "neither true nor false"),
            ("unix:///s?ssl=true", "socket"),
        ];
        for (url, expected) in cases {
            let error = Target::parse(url).expect_err(url).to_string();
            assert!(error.contains(expected) && !error.contains("secret"), "{url}: {error}");
        }
        let shown = format!("{:?}", Target::parse("redis://u:secret@h").expect("a URL"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
