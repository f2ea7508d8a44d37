//! One `redis-server`.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _, RedisConnectionInfo,
    RedisResult, Value, aio::MultiplexedConnection,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

use super::{PATIENCE, Patience, directory::Directory, ports, process::Process};

const CONFIG: &str = "redis.conf";
const LOG: &str = "log";
const SOCKET: &str = "socket";

/// A server that keeps nothing on disk.
const PLAIN: &[&str] = &[
    "port {port}",
    "save \"\"",
    "appendonly no",
    // A replica gets its copy at once.
    "repl-diskless-sync yes",
    "repl-diskless-sync-delay 0",
];

/// A running server; it is killed, and its directory removed, when this is dropped.
pub(crate) struct Server {
    port: u16,
    password: Option<String>,
    mode: &'static [&'static str],
    process: Option<Process>,
    stopped: AtomicBool,
    directory: Directory,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With these lines in its configuration, such as `maxmemory 3mb`.
    pub(crate) async fn with(config: &[&str]) -> Self {
        Self::launch(Directory::new(), &[], &[PLAIN, config].concat()).await
    }

    /// With this configuration alone, in which `{port}` stands for the port, and these arguments after the configuration's file.
    pub(super) async fn launch(directory: Directory, mode: &'static [&'static str], config: &[&str]) -> Self {
        let password = config.iter().find_map(|line| line.strip_prefix("requirepass ")).map(str::to_owned);
        let mut server = Self { port: 0, password, mode, process: None, stopped: AtomicBool::new(false), directory };
        let socket = server.socket();
        let place = format!("bind 127.0.0.1\ndir {}\nunixsocket {socket}\n", server.directory.path().display());
        let config = place + &config.join("\n") + "\n";
        for _ in 0..20 {
            server.port = ports::free();
            server.directory.write(CONFIG, &config.replace("{port}", &server.port.to_string()));
            if server.run().await {
                return server;
            }
        }
        panic!("every port was taken: {}", server.log());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Without the password, if it needs one.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn unix_url(&self) -> String {
        format!("unix://{}", self.socket())
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.process = None;
        self.stopped.store(false, Ordering::Relaxed);
    }

    /// Starts it again after it was killed, on the same port and without its entries; if it runs, it is killed first.
    ///
    /// What it was told by `CONFIG SET` and `REPLICAOF` is forgotten, unless a Sentinel made it write that down; a Sentinel and
    /// a cluster's node know who they were.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        // What a replica got from its master.
        self.directory.remove("dump.rdb");
        assert!(self.run().await, "its port was taken meanwhile: {}", self.log());
    }

    /// Stops it by SIGSTOP: it accepts connections, and never answers.
    pub(crate) fn stop(&self) {
        self.signal("STOP");
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Lets it go on after [`stop`](Self::stop).
    pub(crate) fn cont(&self) {
        self.signal("CONT");
        self.stopped.store(false, Ordering::Relaxed);
    }

    /// What it answers to a command, which has to succeed.
    pub(crate) async fn command<A: AsRef<[u8]>>(&self, args: &[A]) -> Value {
        self.query(args).await
    }

    /// What it answers to a command, or the error it answers with.
    pub(crate) async fn try_command<A: AsRef<[u8]>>(&self, args: &[A]) -> RedisResult<Value> {
        self.try_query(args).await
    }

    pub(crate) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.query(&["GET", key]).await
    }

    pub(crate) async fn set(&self, key: &str, value: &[u8]) {
        self.query::<()>(&[b"SET", key.as_bytes(), value]).await;
    }

    /// All keys that match, in order.
    pub(crate) async fn keys(&self, pattern: &str) -> Vec<String> {
        let mut keys: Vec<String> = self.query(&["KEYS", pattern]).await;
        keys.sort();
        keys
    }

    /// Milliseconds until a key expires; -1 if it never does, -2 if there is none.
    pub(crate) async fn pttl(&self, key: &str) -> i64 {
        self.query(&["PTTL", key]).await
    }

    /// How often each command was called, by its name in lower case, as in `get` or `config|set`.
    ///
    /// Counts what the harness asked, too: this method is an `info`, [`get`](Self::get) is a `get`.
    pub(crate) async fn commandstats(&self) -> BTreeMap<String, u64> {
        let calls = |stats: &str| stats.strip_prefix("calls=")?.split(',').next()?.parse().ok();
        let stats = self.info("commandstats").await.into_iter();
        stats
            .map(|(name, stats)| {
                let name = name.strip_prefix("cmdstat_").expect("Redis says what this is").to_owned();
                (name, calls(&stats).expect("a number of calls"))
            })
            .collect()
    }

    /// How often it answered with an error of this kind, such as `MOVED`.
    pub(crate) async fn errors(&self, kind: &str) -> u64 {
        let stats = self.info("errorstats").await;
        let count =
            stats.get(&format!("errorstat_{kind}")).and_then(|stats| stats.strip_prefix("count=")?.parse().ok());
        count.unwrap_or_default()
    }

    /// Makes it a replica of another, and waits until it has all that the other has; or makes it a master.
    pub(crate) async fn replicaof(&self, other: Option<&Self>) {
        let Some(other) = other else { return self.query(&["REPLICAOF", "NO", "ONE"]).await };
        self.query::<()>(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]).await;
        self.follows().await;
    }

    /// Waits until its replicas have all that was written so far, by anyone.
    ///
    /// A `WAIT` of the test's own would do nothing: it is for what its own connection wrote, and each command here has a new one.
    pub(crate) async fn replicated(&self) {
        let replicas: usize = self.info("replication").await["connected_slaves"].parse().expect("a number");
        let mut wait = redis::pipe();
        wait.cmd("PING").ignore().cmd("WAIT").arg(replicas).arg(PATIENCE.as_millis() as u64);
        let mut connection = self.connect().await.expect("it can be asked");
        let (reached,): (usize,) = wait.query_async(&mut connection).await.expect("a master");
        assert!(reached >= replicas, "{reached} of {replicas} replicas have all");
    }

    /// Waits until this replica is connected to its master and has what that has.
    pub(super) async fn follows(&self) {
        let patience = Patience::new("a replica to follow its master", PATIENCE);
        while self.info("replication").await.get("master_link_status").is_none_or(|status| status != "up") {
            patience.pause().await;
        }
    }

    /// One section of `INFO`.
    pub(super) async fn info(&self, section: &str) -> BTreeMap<String, String> {
        let text: String = self.query(&["INFO", section]).await;
        text.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// What it answers to a command, which has to succeed.
    pub(super) async fn query<T: FromRedisValue>(&self, args: &[impl AsRef<[u8]>]) -> T {
        self.try_query(args).await.unwrap_or_else(|error| {
            let words: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(arg.as_ref())).collect();
            panic!("{}: {error}", words.join(" "))
        })
    }

    pub(super) async fn try_query<T: FromRedisValue>(&self, args: &[impl AsRef<[u8]>]) -> RedisResult<T> {
        let mut command = Cmd::new();
        args.iter().for_each(|arg| {
            command.arg(arg.as_ref());
        });
        let asked = async { command.query_async(&mut self.connect().await?).await };
        timeout(PATIENCE, asked).await.expect("it answers within ten seconds")
    }

    /// Whether it can be asked: it runs and is not stopped.
    pub(super) fn answers(&self) -> bool {
        self.process.is_some() && !self.stopped.load(Ordering::Relaxed)
    }

    /// A connection for one command: it may have been killed and restarted since the last, or that have been in another runtime.
    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        // `CLIENT SETINFO` would be in the command statistics.
        let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        let place = ConnectionAddr::Unix(self.socket().into()).into_connection_info()?;
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        Client::open(place.set_redis_settings(settings))?.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Runs it until it can be asked; false if the port is taken.
    async fn run(&mut self) -> bool {
        self.directory.remove(LOG);
        let config = self.directory.file(CONFIG);
        let args: Vec<_> = [config.as_os_str()].into_iter().chain(self.mode.iter().map(OsStr::new)).collect();
        let mut process = Process::redis(&args, self.directory.path(), &self.directory.file(LOG));
        let patience = Patience::new("redis-server to start", PATIENCE);
        while !self.pongs().await {
            if process.has_ended() {
                let log = self.log();
                assert!(log.contains("Address already in use"), "redis-server ended: {log}");
                return false;
            }
            patience.pause().await;
        }
        self.process = Some(process);
        true
    }

    /// Whether anything comes back over the Unix socket, be it only that a password is missing. Over the port, another server
    /// could answer.
    async fn pongs(&self) -> bool {
        let asked = async {
            let mut stream = UnixStream::connect(self.socket()).await?;
            stream.write_all(b"PING\r\n").await?;
            stream.read_u8().await
        };
        asked.await.is_ok()
    }

    fn signal(&self, name: &str) {
        self.process.as_ref().expect("it runs").signal(name);
    }

    fn socket(&self) -> String {
        self.directory.file(SOCKET).display().to_string()
    }

    fn log(&self) -> String {
        self.directory.read(LOG)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("port", &self.port).field("answers", &self.answers()).finish()
    }
}

impl Drop for Server {
    /// A test that fails shows what its servers said last.
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let last: Vec<_> = log.lines().rev().take(20).collect();
            let last: Vec<_> = last.into_iter().rev().collect();
            eprintln!("redis-server on port {}:\n{}\n", self.port, last.join("\n"));
        }
    }
}
