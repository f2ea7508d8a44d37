//! The official clients of LLM APIs, in Node.js and in Python, in the versions that `tests/clients` pins.
//!
//! They are installed on first use, into cargo's directory for tests, and again when what is pinned changes.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{self, Stdio},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::{process::Command, sync::OnceCell, time::timeout};

use super::program::program;

/// How long an installation may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What would lead a client to somewhere else than to the test's own server.
const AMBIENT: [&str; 6] = ["OPENAI_", "ANTHROPIC_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

/// Node.js, for a script that gets `openai`, `@anthropic-ai/sdk` and `playwright-core` by `require`.
pub(crate) async fn node() -> Command {
    static MODULES: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    let node = program("node", "nodejs");
    let modules = MODULES.get_or_init(async || {
        let npm = program("npm", "npm");
        let mut version = Command::new(&node);
        version.arg("--version");
        Kit { name: "node", files: &["package.json", "package-lock.json"] }
            .installed(version, async |directory| {
                let mut install = Command::new(npm);
                install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
                done(install.current_dir(directory)).await
            })
            .await
    });
    let directory = modules.await.as_ref().unwrap_or_else(|error| panic!("{error}"));
    let mut command = quiet(&node);
    command.env("NODE_PATH", directory.join("node_modules"));
    command
}

/// Python, for a script that imports `openai` and `anthropic`.
pub(crate) async fn python() -> Command {
    static ENVIRONMENT: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    let environment = ENVIRONMENT.get_or_init(async || {
        let python = program("python3", "python3-venv");
        let mut venv = Command::new(&python);
        if done(venv.args(["-c", "import ensurepip, venv"])).await.is_err() {
            return Err("this test needs Python's venv, which isn't installed: `apt-get install python3-venv`".into());
        }
        let mut version = Command::new(&python);
        version.arg("--version");
        Kit { name: "python", files: &["requirements.txt"] }
            .installed(version, async |directory| {
                let mut make = Command::new(python);
                done(make.args(["-m", "venv", "."]).current_dir(directory)).await?;
                let mut install = Command::new(directory.join("bin/python"));
                install.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
                done(install.args(["--requirement", "requirements.txt"]).current_dir(directory)).await
            })
            .await
    });
    let directory = environment.await.as_ref().unwrap_or_else(|error| panic!("{error}"));
    quiet(&directory.join("bin/python"))
}

/// A file of `tests/clients`.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Packages, and the files of `tests/clients` that pin them.
struct Kit {
    name: &'static str,
    files: &'static [&'static str],
}

impl Kit {
    /// The directory where it is installed, by `install` if it isn't there yet.
    ///
    /// It is made beside its place and then moved there, so that what is there is whole. Who comes second finds the
    /// place taken and uses what is in it.
    async fn installed<F>(&self, version: Command, install: F) -> Result<PathBuf, String>
    where
        F: AsyncFnOnce(&Path) -> Result<String, String>,
    {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(self.directory(version).await?);
        if place.exists() {
            return Ok(place);
        }
        let making = place.with_extension(process::id().to_string());
        let failed = |error: String| format!("can't install what tests/clients names for {}: {error}", self.name);
        // A program that had this process id before may have been killed half-way.
        let _ = fs::remove_dir_all(&making);
        let copied = fs::create_dir_all(&making)
            .and_then(|()| self.files.iter().try_for_each(|name| fs::copy(script(name), making.join(name)).map(drop)));
        copied.map_err(|error| failed(error.to_string()))?;
        let installed = timeout(PATIENCE, install(&making)).await;
        let installed = installed.unwrap_or_else(|_| Err(format!("it takes longer than {} s", PATIENCE.as_secs())));
        let moved = installed.and_then(|_| fs::rename(&making, &place).map_err(|error| error.to_string()));
        let _ = fs::remove_dir_all(&making);
        if place.exists() { Ok(place) } else { moved.map(|()| place).map_err(failed) }
    }

    /// Another one for each content of its files and each version of what runs it.
    async fn directory(&self, mut version: Command) -> Result<String, String> {
        let mut digest = Sha256::new_with_prefix(done(&mut version).await?);
        for name in self.files {
            digest.update(fs::read(script(name)).map_err(|error| format!("{name}: {error}"))?);
        }
        let mut directory = format!("clients-{}-", self.name);
        for byte in &digest.finalize()[..8] {
            write!(directory, "{byte:02x}").expect("a string takes all");
        }
        Ok(directory)
    }
}

/// Runs a command to its end, and returns what it says; if it fails, that is the error.
async fn done(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|error| format!("{:?}: {error}", command.as_std().get_program()))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(said) } else { Err(format!("{}: {said}", output.status)) }
}

/// A command that ends with the test, and knows nothing of the clients' settings outside.
fn quiet(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_ascii_uppercase();
        if AMBIENT.iter().any(|ambient| upper.starts_with(ambient)) {
            command.env_remove(name);
        }
    }
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).kill_on_drop(true);
    command
}
