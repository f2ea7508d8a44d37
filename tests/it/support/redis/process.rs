//! A child process that does not outlive the test.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        mpsc::{self, Sender},
    },
    thread,
};

use crate::support::program::{find, program};

/// A running program; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts `redis-server`; what it says goes into the file `log`.
    pub(super) fn redis(args: &[&OsStr], directory: &Path, log: &Path) -> Self {
        let program = program("redis-server", "redis-server");
        // Where there is setpriv, the kernel kills the server if this program is killed before it can do so itself.
        let mut command = match find("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let log = File::options().append(true).create(true).open(log).expect("a log file");
        let errors = log.try_clone().expect("a second handle of the log file");
        command.args(args).current_dir(directory).stdin(Stdio::null()).stdout(log).stderr(errors);
        Self(spawn(command).expect("redis-server starts"))
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("a child can be waited for").is_some()
    }

    /// Sends it a signal, by its name without `SIG`.
    pub(super) fn signal(&self, name: &str) {
        let mut kill = Command::new("sh");
        let sent = kill.args(["-c", "kill -s \"$0\" \"$1\"", name, &self.0.id().to_string()]).status();
        assert!(sent.expect("a shell").success(), "the signal is sent");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL also ends a process that is stopped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// To the kernel, a child's parent is the thread that made it, and a test's thread ends before the program does. So one thread that
/// never ends makes all children.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<Sender<Order>> = LazyLock::new(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in orders {
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, child) = mpsc::channel();
    SPAWNER.send((command, reply)).expect("the thread never ends");
    child.recv().expect("the thread never ends")
}
