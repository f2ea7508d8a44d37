//! A connection, to one server or to all nodes of a Cluster, and how it is opened.

use std::time::Duration;

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, Pipeline,
    RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, TlsCertificates, TlsMode, Value,
    aio::{ConnectionLike as _, MultiplexedConnection, PubSub},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    cluster_routing::{RoutingInfo, SingleNodeRoutingInfo},
    io::tcp::TcpSettings,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use futures_util::future::{join_all, select_ok};
use tokio::time::sleep;

use super::target::{Login, Target, Topology};
use crate::ConfigError;

/// How often a Cluster is asked again, redirections included. Calls have a deadline besides.
pub(super) const REDIRECTIONS: u32 = 4;

/// A Cluster's connections give up on an answer by themselves, long after those who asked.
const FORGOTTEN: Duration = Duration::from_secs(1);

/// A way to Redis that many calls share; clones are one connection.
#[derive(Clone)]
pub(crate) enum Link {
    Server(MultiplexedConnection),
    /// And how often it asks again by itself.
    Cluster(ClusterConnection, u32),
}

impl Link {
    /// Asks one thing.
    pub(crate) async fn query(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        let value = match self {
            Self::Server(server) => server.send_packed_command(cmd).await?,
            Self::Cluster(cluster, retries) => ask(cluster, cmd, REDIRECTIONS.saturating_sub(*retries)).await?,
        };
        value.extract_error()
    }

    /// Asks several things at once: one server in one round trip, a Cluster each node at the same time.
    pub(crate) async fn query_all(&mut self, cmds: Vec<Cmd>) -> RedisResult<Vec<RedisResult<Value>>> {
        match self {
            Self::Server(server) => {
                let count = cmds.len();
                let mut pipeline = Pipeline::with_capacity(count);
                for cmd in cmds {
                    pipeline.add_command(cmd);
                }
                let values = server.send_packed_commands(&pipeline, 0, count).await?;
                Ok(values.into_iter().map(Value::extract_error).collect())
            }
            Self::Cluster(..) => {
                let asked = cmds.into_iter().map(|cmd| {
                    let mut link = self.clone();
                    async move { link.query(&cmd).await }
                });
                Ok(join_all(asked).await)
            }
        }
    }

    /// Whether it works: any node will do.
    pub(super) async fn ping(&mut self) -> RedisResult<()> {
        let ping = ::redis::cmd("PING");
        match self {
            Self::Server(server) => server.send_packed_command(&ping).await,
            Self::Cluster(cluster, _) => {
                cluster.route_command(ping, RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random)).await
            }
        }?
        .extract_error()
        .map(drop)
    }
}

/// Asks a Cluster. A server that has some of the keys, while others are on their way, has done nothing: it is asked again after
/// a moment, so many times.
async fn ask(cluster: &mut ClusterConnection, cmd: &Cmd, again: u32) -> RedisResult<Value> {
    let mut pause = Duration::from_millis(1);
    for _ in 0..again {
        match redirected(cluster, cmd).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::TryAgain) => sleep(pause).await,
            answer => return answer,
        }
        pause *= 2;
    }
    redirected(cluster, cmd).await
}

async fn redirected(cluster: &mut ClusterConnection, cmd: &Cmd) -> RedisResult<Value> {
    match cluster.req_packed_command(cmd).await {
        Err(error) if error.redirect_node().is_some() => follow(cluster, cmd, error).await,
        answer => answer,
    }
}

/// Asks for a key whose slot is on its way, where the client was led nowhere, or was not to try: it sends `ASKING` by itself,
/// and what others ask meanwhile by the same connection takes it away. Here both are sent together.
async fn follow(cluster: &mut ClusterConnection, cmd: &Cmd, mut error: RedisError) -> RedisResult<Value> {
    for _ in 0..REDIRECTIONS {
        let asks = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
        let Some((host, port)) = error.redirect_node().and_then(|(address, _)| address.rsplit_once(':')) else { break };
        let Ok(port) = port.parse() else { break };
        let answer = if asks {
            let mut pipeline = Pipeline::with_capacity(2);
            pipeline.add_command(::redis::cmd("ASKING")).add_command(cmd.clone());
            let node = SingleNodeRoutingInfo::ByAddress { host: host.to_owned(), port };
            cluster.route_pipeline(pipeline, 1, 1, node).await.map(|mut values| values.pop().unwrap_or(Value::Nil))
        } else {
            cluster.req_packed_command(cmd).await
        };
        match answer {
            Err(next) if next.redirect_node().is_some() => error = next,
            answer => return answer,
        }
    }
    Err(error)
}

/// How connections are opened.
#[derive(Clone)]
pub(super) struct Dial {
    pub(super) target: Target,
    pub(super) certificates: Option<TlsCertificates>,
    pub(super) connect_timeout: Duration,
    /// How often a Cluster is asked again, redirections included, before [`Link::query`] follows them itself.
    pub(super) retries: u32,
}

impl Dial {
    /// Finds what could never be opened.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let opened = match &self.target.topology {
            Topology::Standalone => {
                self.target.nodes.iter().try_for_each(|node| self.client_of(node.addr().clone()).map(drop))
            }
            Topology::Sentinel(name) => {
                self.target.addresses().try_for_each(|address| self.sentinel(address, name).map(drop))
            }
            Topology::Cluster => self.cluster().map(drop),
        };
        opened.map_err(|error| {
            let why = error.detail().map_or_else(|| error.to_string(), Into::into);
            ConfigError::new("redis::Client certificates", format!("{why}; take certificates and keys as PEM"))
        })
    }

    /// How long it may take to open a connection. A Cluster's nodes are asked all at once, but twice: those of the URL, and then
    /// those that they name; each time one that hangs is waited for.
    pub(super) fn patience(&self) -> Duration {
        match self.target.topology {
            Topology::Standalone | Topology::Sentinel(_) => self.connect_timeout,
            Topology::Cluster => self.connect_timeout * 3,
        }
    }

    /// Opens a connection. Whoever calls bounds it in time.
    pub(super) async fn open(&self) -> RedisResult<Link> {
        match self.target.topology {
            Topology::Standalone | Topology::Sentinel(_) => {
                // Deadlines are the calls' own.
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(self.connect_timeout))
                    .set_response_timeout(None);
                let client = self.client().await?;
                Ok(Link::Server(client.get_multiplexed_async_connection_with_config(&config).await?))
            }
            Topology::Cluster => Ok(Link::Cluster(self.cluster()?.get_async_connection().await?, self.retries)),
        }
    }

    fn cluster(&self) -> RedisResult<ClusterClient> {
        let mut builder = ClusterClientBuilder::new(self.target.nodes.clone())
            .connection_timeout(self.connect_timeout)
            .response_timeout(FORGOTTEN)
            .retries(self.retries)
            .min_retry_wait(1)
            .max_retry_wait(20)
            .tcp_settings(tcp());
        if let Some(username) = &self.target.login.username {
            builder = builder.username(username);
        }
        if let Some(password) = &self.target.login.password {
            builder = builder.password(password);
        }
        if self.target.tls {
            builder = builder.tls(TlsMode::Secure);
        }
        if let Some(certificates) = &self.certificates {
            builder = builder.certs(certificates.clone());
        }
        builder.build()
    }

    /// A connection that messages come by. Those that are published anywhere in a Cluster come from each of its nodes.
    pub(super) async fn open_pubsub(&self) -> RedisResult<PubSub> {
        match self.target.topology {
            Topology::Standalone | Topology::Sentinel(_) => self.client().await?.get_async_pubsub().await,
            // The first that answers: one may hang.
            Topology::Cluster => {
                let opened = self
                    .target
                    .nodes
                    .iter()
                    .map(|node| Box::pin(async { self.client_of(node.addr().clone())?.get_async_pubsub().await }));
                Ok(select_ok(opened).await?.0)
            }
        }
    }

    /// A connection to one node of a Cluster.
    pub(super) async fn open_node(&self, host: String, port: u16) -> RedisResult<Link> {
        let address = if self.target.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(self.connect_timeout)).set_response_timeout(None);
        Ok(Link::Server(self.client_of(address)?.get_multiplexed_async_connection_with_config(&config).await?))
    }

    async fn client(&self) -> RedisResult<Client> {
        match (&self.target.topology, self.target.nodes.first()) {
            (Topology::Sentinel(name), _) => self.master(name).await,
            (Topology::Standalone | Topology::Cluster, Some(node)) => self.client_of(node.addr().clone()),
            (Topology::Standalone | Topology::Cluster, None) => {
                Err((ErrorKind::InvalidClientConfig, "no node is known").into())
            }
        }
    }

    fn client_of(&self, address: ConnectionAddr) -> RedisResult<Client> {
        let tls = matches!(address, ConnectionAddr::TcpTls { .. });
        let info = info(address, &self.target.login, self.target.database)?;
        match self.certificates.clone().filter(|_| tls) {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        }
    }

    /// The master that a Sentinel names now, and that says of itself that it is one. The first that answers is believed: one
    /// may hang.
    async fn master(&self, name: &str) -> RedisResult<Client> {
        let asked = self
            .target
            .addresses()
            .map(|address| Box::pin(async move { self.sentinel(address, name)?.async_get_client().await }));
        Ok(select_ok(asked).await?.0)
    }

    fn sentinel(&self, address: ConnectionAddr, name: &str) -> RedisResult<SentinelClient> {
        let target = &self.target;
        let mut builder = SentinelClientBuilder::new([address], name, SentinelServerType::Master)?
            .set_client_to_redis_db(target.database)
            .set_client_to_redis_tcp_settings(tcp())
            .set_client_to_sentinel_tcp_settings(tcp());
        if target.tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = &self.certificates {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
        if let Some(username) = &target.login.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &target.login.password {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(username) = &target.sentinel_login.username {
            builder = builder.set_client_to_sentinel_username(username);
        }
        if let Some(password) = &target.sentinel_login.password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        builder.build()
    }
}

fn info(address: ConnectionAddr, login: &Login, database: i64) -> RedisResult<ConnectionInfo> {
    let mut redis = RedisConnectionInfo::default().set_db(database).set_lib_name("larder", env!("CARGO_PKG_VERSION"));
    if let Some(username) = &login.username {
        redis = redis.set_username(username);
    }
    if let Some(password) = &login.password {
        redis = redis.set_password(password);
    }
    Ok(address.into_connection_info()?.set_redis_settings(redis).set_tcp_settings(tcp()))
}

fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}
