//! The settings of a [`Client`].

use std::{
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ::redis::{ClientTlsConfig, TlsCertificates};
use rustls::{
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::{sync::watch, time::Instant};

use super::{
    Client, Inner, State,
    link::{Dial, REDIRECTIONS},
    target::{Target, Topology},
};
use crate::{
    ConfigError,
    breaker::{self, Breaker},
};

/// The most connections to one node: what is more is a mistake.
const MAX_CONNECTIONS: usize = 64;

/// Settings of a [`Client`], made by [`Client::builder`].
#[must_use]
pub struct ClientBuilder {
    target: Result<Target, ConfigError>,
    root_certificates: Option<Vec<u8>>,
    identity: Option<ClientTlsConfig>,
    connect_timeout: Duration,
    response_timeout: Duration,
    connections: usize,
    breaker: breaker::Builder,
}

impl ClientBuilder {
    pub(super) fn new(url: &str) -> Self {
        // An outage is found after a few calls, and its end within two seconds.
        let breaker = Breaker::builder()
            .consecutive_failures(5)
            .open_for(Duration::from_millis(100))
            .max_open_for(Duration::from_secs(2));
        Self {
            target: Target::parse(url),
            root_certificates: None,
            identity: None,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_millis(50),
            connections: 1,
            breaker,
        }
    }

    fn target(mut self, change: impl FnOnce(&mut Target)) -> Self {
        if let Ok(target) = &mut self.target {
            change(target);
        }
        self
    }

    /// The user to log in as. Default: the URL's.
    pub fn username(self, name: &str) -> Self {
        self.target(|target| target.login.username = Some(name.into()))
    }

    /// The password to log in with. Default: the URL's.
    pub fn password(self, password: &str) -> Self {
        self.target(|target| target.login.password = Some(password.into()))
    }

    /// The number of the database. Default: the URL's, or 0.
    pub fn database(self, number: u32) -> Self {
        self.target(|target| target.database = i64::from(number))
    }

    /// The name of the master that the URL's hosts, which are Sentinels, know. Default: the URL's.
    pub fn sentinel(self, master: &str) -> Self {
        self.target(|target| target.topology = Topology::Sentinel(master.into()))
    }

    /// Says that the URL's hosts are nodes of a Cluster. Default: the URL's `cluster_enabled`.
    pub fn cluster(self) -> Self {
        self.target(|target| target.topology = Topology::Cluster)
    }

    /// Certificates to trust with TLS, as PEM. Default: those that the system trusts.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// The client's own certificate and key with TLS, both as PEM. Default: none.
    pub fn client_certificate(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some(ClientTlsConfig { client_cert: certificate.into(), client_key: key.into() });
        self
    }

    /// How long it may take to connect; that happens in the background. Default: 1 s.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// How long a call may take, and so how long a request may have to wait for Redis. Writes get more by their size, as if
    /// Redis took 16 MiB a second at least. Default: 50 ms.
    pub fn response_timeout(mut self, time: Duration) -> Self {
        self.response_timeout = time;
        self
    }

    /// How many connections there are to one server; calls take turns. One is best unless bodies are large. A Cluster has
    /// one to each node for each of these. Default: 1.
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = count;
        self
    }

    /// When to stop asking, and for how long. Default: after 5 failures in a row, or half of 20 calls in 10 s, for 100 ms at
    /// first, and up to 2 s at a time; what is tried then is a `PING` of the client's own.
    pub fn breaker(mut self, breaker: breaker::Builder) -> Self {
        self.breaker = breaker;
        self
    }

    /// Makes the client. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the URL or a certificate can't be read, a time is zero, or there are no connections or more than 64.
    pub fn build(self) -> Result<Client, ConfigError> {
        let target = self.target?;
        for (time, setting) in [
            (self.connect_timeout, "redis::Client connect_timeout"),
            (self.response_timeout, "redis::Client response_timeout"),
        ] {
            if time.is_zero() {
                return Err(ConfigError::new(setting, "zero would never wait for Redis; take at least a millisecond"));
            }
        }
        if !(1..=MAX_CONNECTIONS).contains(&self.connections) {
            let problem = format!("{} make no sense; take 1 to {MAX_CONNECTIONS}", self.connections);
            return Err(ConfigError::new("redis::Client connections", problem));
        }
        if target.topology == Topology::Cluster && target.database != 0 {
            return Err(ConfigError::new("redis::Client database", "a Cluster has database 0 only; take that"));
        }
        let given = self.root_certificates.is_some() || self.identity.is_some();
        if given && !target.tls {
            return Err(ConfigError::new(
                "redis::Client certificates",
                "there is no TLS without; take a rediss:// URL",
            ));
        }
        // An empty list would trust nobody, and say so with each connection only.
        let lists = |pem: &Vec<u8>| CertificateDer::pem_slice_iter(pem).next().is_some();
        if self.root_certificates.as_ref().is_some_and(|pem| !lists(pem)) {
            return Err(ConfigError::new(
                "redis::Client certificates",
                "there are none in the text; take certificates as PEM",
            ));
        }
        let certificates =
            given.then_some(TlsCertificates { client_tls: self.identity, root_cert: self.root_certificates });
        if target.tls {
            install_crypto();
        }
        let retries = REDIRECTIONS;
        let dial = Dial { target, certificates, connect_timeout: self.connect_timeout, retries };
        dial.check()?;
        let open = |dial, once| Inner::new(dial, self.response_timeout, self.connections, self.breaker.clone(), once);
        // Connected to only by those who ask for it.
        let is_cluster = dial.target.topology == Topology::Cluster;
        let once = if is_cluster { Some(open(Dial { retries: 0, ..dial.clone() }, None)?) } else { None };
        Ok(Client(open(dial, once)?))
    }
}

impl Inner {
    fn new(
        dial: Dial,
        response_timeout: Duration,
        connections: usize,
        breaker: breaker::Builder,
        once: Option<Arc<Self>>,
    ) -> Result<Arc<Self>, ConfigError> {
        // The breaker is made first, and tells of its changes to a client that is made after it.
        let told = Arc::new(OnceLock::<Weak<Self>>::new());
        let tells = told.clone();
        let changed = move |state| {
            if let Some(inner) = tells.get().and_then(Weak::upgrade) {
                inner.changed(state);
            }
        };
        let inner = Arc::new(Self {
            dial,
            response_timeout,
            connections,
            breaker: breaker.on_change(changed).try_build()?,
            state: watch::Sender::new(State::Pending),
            keeping: AtomicBool::new(false),
            down: AtomicBool::new(false),
            renewing: AtomicBool::new(false),
            timeouts: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            made: Instant::now(),
            answered: AtomicU64::new(0),
            once,
        });
        // It is the first to be told.
        let _ = told.set(Arc::downgrade(&inner));
        Ok(inner)
    }

    fn changed(self: &Arc<Self>, state: breaker::State) {
        let target = &self.dial.target;
        match state {
            breaker::State::Open => {
                // Once for each outage, however often it is tried meanwhile.
                if !self.down.swap(true, Ordering::Relaxed) {
                    tracing::warn!(?target, "Redis is not asked any more until it answers again");
                }
                self.keep();
            }
            breaker::State::HalfOpen => tracing::debug!(?target, "Redis is tried"),
            breaker::State::Closed => {
                self.down.store(false, Ordering::Relaxed);
                tracing::info!(?target, "Redis answers again");
            }
        }
    }
}

/// rustls takes its cryptography from the process; redis fails where there is none.
fn install_crypto() {
    if CryptoProvider::get_default().is_none() {
        // Another may have been quicker, which is as good.
        let _ = ring::default_provider().install_default();
    }
}

/// Shows no secret.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("target", &self.target).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_settings_say_what_to_do() {
        let builder = || Client::builder("redis://127.0.0.1");
        let cases = [
            (Client::builder("http://127.0.0.1"), "redis URL", "take redis://"),
            (builder().connect_timeout(Duration::ZERO), "connect_timeout", "take at least"),
            (builder().response_timeout(Duration::ZERO), "response_timeout", "take at least"),
            (builder().connections(0), "connections", "take 1 to 64"),
            (builder().connections(65), "connections", "take 1 to 64"),
            (builder().cluster().database(1), "database", "take that"),
            (builder().root_certificates("no PEM"), "certificates", "take"),
            (Client::builder("rediss://h").root_certificates("no PEM"), "certificates", "take"),
            (Client::builder("rediss://h").client_certificate("no", "PEM"), "certificates", "take"),
        ];
        for (builder, setting, advice) in cases {
            let error = builder.build().expect_err(setting);
            assert!(error.setting().contains(setting) && error.to_string().contains(advice), "{error}");
        }
        assert!(builder().sentinel("main").username("u").password("p").database(3).build().is_ok());
    }
}
