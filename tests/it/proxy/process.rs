//! The proxy as a process.

use std::{
    env, fs,
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::{Child, Command},
    sync::watch,
};

use super::{connection::Connection, message::Message, origin::Origin, within};

/// A running proxy; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    child: Child,
    pid: u32,
    address: SocketAddr,
    out: Lines,
    log: Lines,
}

impl Proxy {
    /// In front of `origin`, on a free port.
    pub(super) async fn start(origin: &Origin, args: &[&str]) -> Self {
        Self::before(&origin.url(), args).await
    }

    /// In front of an upstream's URL.
    pub(crate) async fn before(upstream: &str, args: &[&str]) -> Self {
        let args: Vec<_> = ["--upstream", upstream, "--listen", "127.0.0.1:0"].iter().chain(args).copied().collect();
        Self::launch(&args, &[]).await
    }

    /// With these arguments, and this in the environment.
    pub(super) async fn launch(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = command(args, environment).spawn().expect("the proxy starts");
        let pid = child.id().expect("it has not been waited for");
        let out = Lines::of(child.stdout.take().expect("a pipe"));
        let log = Lines::of(child.stderr.take().expect("a pipe"));
        let line = log.find(|line| line.starts_with("listening on ")).await;
        let address = line.strip_prefix("listening on http://").and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address: {line}"));
        Self { child, pid, address, out, log }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// Sends one request on a connection of its own.
    pub(super) async fn ask(&self, request: impl AsRef<[u8]>) -> Message {
        self.connect().await.ask(request).await
    }

    /// What it wrote to standard output.
    pub(super) fn out(&self) -> &Lines {
        &self.out
    }

    /// What it wrote to standard error.
    pub(super) fn log(&self) -> &Lines {
        &self.log
    }

    /// Sends it a signal, by its name without `SIG`.
    pub(super) async fn signal(&self, name: &str) {
        let mut kill = Command::new("sh");
        let sent = kill.args(["-c", "kill -s \"$0\" \"$1\"", name, &self.pid.to_string()]).status();
        assert!(within(sent).await.expect("a shell").success(), "the signal is sent");
    }

    /// Waits for its end.
    pub(super) async fn end(&mut self) -> ExitStatus {
        within(self.child.wait()).await.expect("a child can be waited for")
    }

    /// How many file descriptors it has open.
    pub(super) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("Linux's /proc").count()
    }

    /// Waits until it has at most `count` file descriptors open.
    pub(super) async fn closes_all_but(&self, count: usize) {
        within(async {
            while self.descriptors() > count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// How long it has kept processors busy so far.
    pub(super) fn busy(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("Linux's /proc");
        // The name before this may have spaces.
        let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
        let ticks: u64 =
            fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number of ticks")).sum();
        Duration::from_millis(ticks * 10)
    }

    /// The most memory that it has held so far, in MiB.
    pub(super) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("Linux's /proc");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kibibytes >> 10
    }
}

/// Runs it to its end, which has to come before it serves; if it serves, it is killed.
pub(super) async fn run(args: &[&str], environment: &[(&str, &str)]) -> Ended {
    let mut child = command(args, environment).spawn().expect("the proxy starts");
    let mut out = child.stdout.take().expect("a pipe");
    let mut errors = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut ended = Ended::default();
    while let Some(line) = within(errors.next_line()).await.expect("a pipe can be read") {
        if line.starts_with("listening on ") {
            child.start_kill().expect("it has not been waited for");
        }
        ended.errors += &format!("{line}\n");
    }
    within(out.read_to_string(&mut ended.out)).await.expect("text");
    ended.code = within(child.wait()).await.expect("a child can be waited for").code();
    ended
}

/// A flag, its variable, bad values, and what the message is to say that it takes.
pub(super) type Bad<'a> = (&'a str, &'a str, &'a [&'a str], &'a str);

/// Each bad value, given by its flag and by its variable, has to end the program with the flag's name and what that takes, and with
/// nothing of the secret; `good` is what it would serve with.
pub(super) async fn assert_refused(bad: &[Bad<'_>], good: &[&str], secret: Option<&str>) {
    let mut wrong = Vec::new();
    for (flag, variable, values, takes) in bad {
        let others: Vec<_> = good.iter().copied().filter(|other| !other.starts_with(flag)).collect();
        for value in *values {
            let joined = format!("{flag}={value}");
            let args: Vec<_> = others.iter().copied().chain([joined.as_str()]).collect();
            let by_flag = run(&args, &[]).await;
            let by_variable = run(&others, &[(variable, value)]).await;
            for (how, Ended { code, errors, .. }) in [(flag, by_flag), (variable, by_variable)] {
                let says = errors.contains(flag) && errors.contains(takes) && !errors.contains("panicked");
                if code != Some(2) || !says || secret.is_some_and(|secret| errors.contains(secret)) {
                    wrong.push(format!("{how} {value:?}: {code:?}, {errors}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is left of a program; it has no code if it had to be killed.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) errors: String,
}

fn command(args: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program());
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LARDER_")) {
        command.env_remove(name);
    }
    command.args(args).envs(environment.iter().copied()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Cargo puts examples beside the directory of this test's own program.
fn program() -> PathBuf {
    let tests = env::current_exe().expect("a running program has a path");
    let profile = tests.parent().and_then(|deps| deps.parent()).expect("cargo's target directory");
    let program = profile.join("examples").join(format!("proxy{}", env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is missing: run `cargo build --example proxy` first", program.display());
    program
}

/// Lines that come in.
#[derive(Debug)]
pub(super) struct Lines(watch::Receiver<Vec<String>>);

impl Lines {
    fn of(source: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (sender, receiver) = watch::channel(Vec::new());
        tokio::spawn(async move {
            let mut lines = BufReader::new(source).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                sender.send_modify(|all| all.push(line));
            }
        });
        Self(receiver)
    }

    /// All so far.
    pub(super) fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// The first that is as wanted, be it still to come.
    pub(super) async fn find(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.wait(|lines| lines.iter().any(|line| wanted(line))).await;
        self.all().into_iter().find(|line| wanted(line)).expect("it has been seen")
    }

    /// Waits until what has come is as wanted.
    pub(super) async fn wait(&self, wanted: impl Fn(&[String]) -> bool) {
        let mut lines = self.0.clone();
        let ended = within(lines.wait_for(|lines| wanted(lines))).await.is_err();
        assert!(!ended, "the proxy ended without it: {:#?}", self.all());
    }
}
