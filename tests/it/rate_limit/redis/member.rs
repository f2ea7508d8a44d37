//! Processes of a fleet: this program again, told to do one thing.

use std::{env, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::{fleet, slots};

/// What a process is told to do, in its environment.
const JOB: &str = "LARDER_TEST_MEMBER";

/// What its lines begin with; others are the test harness's.
const SAYS: &str = "member: ";

/// A process; it is killed when this is dropped.
pub(super) struct Member {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Member {
    /// Waits until it is ready for its job.
    pub(super) async fn start(job: &str) -> Self {
        let (_, module) = module_path!().split_once("::").expect("a crate and a module");
        let mut command = Command::new(env::current_exe().expect("a running program has a path"));
        command.args(["--exact", "--ignored", "--nocapture", "--test-threads=1", &format!("{module}::member")]);
        command.env(JOB, job).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("this program starts again");
        let input = child.stdin.take().expect("a pipe");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut member = Self { child, input, lines };
        assert_eq!(member.said().await, "ready");
        member
    }

    /// Lets it begin.
    pub(super) async fn go(&mut self) {
        self.input.write_all(b"go\n").await.expect("it runs");
    }

    /// The next thing it says.
    pub(super) async fn said(&mut self) -> String {
        let said = async {
            loop {
                let line = self.lines.next_line().await.expect("a pipe can be read").expect("it has not ended");
                if let Some(said) = line.strip_prefix(SAYS) {
                    return said.to_owned();
                }
            }
        };
        timeout(Duration::from_secs(60), said).await.expect("it says something")
    }

    pub(super) async fn kill(mut self) {
        self.child.kill().await.expect("it has not been waited for");
    }
}

fn say(text: &str) {
    // The harness may have begun a line.
    println!("\n{SAYS}{text}");
}

#[ignore = "others start it, as a process of its own"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn member() {
    let Ok(job) = env::var(JOB) else { return };
    let (what, url) = job.split_once(' ').expect("a job and a URL");
    let mut input = tokio::io::stdin();
    match what {
        "hold" => {
            say("ready");
            input.read_u8().await.expect("a word to begin");
            let _held = slots::hold(url).await;
            say("held");
            // To its end, or the other program's.
            let _ = input.read_to_end(&mut Vec::new()).await;
        }
        shape => {
            let crowd = fleet::Crowd::gather(shape, url).await;
            say("ready");
            input.read_u8().await.expect("a word to begin");
            say(&crowd.rush().await);
        }
    }
}
