//! The scripts that Redis runs. Each says in its file what goes in and comes out.

use std::sync::OnceLock;

use ::redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use super::Link;

/// A script, and the name by which Redis knows it once it has run.
pub(crate) struct Script {
    code: &'static str,
    hash: OnceLock<String>,
}

/// A script with what goes in.
pub(crate) struct Call {
    script: &'static Script,
    keys: usize,
    /// Keys, then arguments.
    given: Vec<Given>,
}

/// Bytes that are copied once, into the command.
enum Given {
    Text(String),
    Bytes(bytes::Bytes),
    Number(u64),
    Word(&'static str),
}

impl Script {
    pub(crate) const fn new(code: &'static str) -> Self {
        Self { code, hash: OnceLock::new() }
    }

    fn hash(&self) -> &str {
        self.hash.get_or_init(|| ::redis::Script::new(self.code).get_hash().to_owned())
    }

    pub(crate) fn call(&'static self) -> Call {
        Call { script: self, keys: 0, given: Vec::with_capacity(12) }
    }
}

impl Call {
    /// Adds a key; all of them before the first argument.
    pub(crate) fn key(mut self, key: impl Into<String>) -> Self {
        self.keys += 1;
        self.given.push(Given::Text(key.into()));
        self
    }

    /// Adds a key where keys and arguments come apart.
    pub(crate) fn push_key(&mut self, key: impl Into<String>) {
        self.keys += 1;
        self.given.push(Given::Text(key.into()));
    }

    pub(crate) fn arg(mut self, text: impl Into<String>) -> Self {
        self.given.push(Given::Text(text.into()));
        self
    }

    pub(crate) fn word(mut self, word: &'static str) -> Self {
        self.given.push(Given::Word(word));
        self
    }

    pub(crate) fn number(mut self, number: u64) -> Self {
        self.given.push(Given::Number(number));
        self
    }

    pub(crate) fn bytes(mut self, bytes: impl Into<bytes::Bytes>) -> Self {
        self.given.push(Given::Bytes(bytes.into()));
        self
    }

    fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", self.script.hash())
    }

    fn by_code(&self) -> Cmd {
        self.command("EVAL", self.script.code)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let size = self.given.iter().map(Given::len).sum();
        let mut cmd = Cmd::with_capacity(self.given.len() + 3, size);
        cmd.arg(name).arg(script).arg(self.keys);
        for given in &self.given {
            match given {
                Given::Text(text) => cmd.arg(text),
                Given::Bytes(bytes) => cmd.arg(&**bytes),
                Given::Number(number) => cmd.arg(number),
                Given::Word(word) => cmd.arg(word),
            };
        }
        cmd
    }

    /// Runs it. If Redis has lost the script, that costs a round trip more.
    pub(crate) async fn run(&self, link: &mut Link) -> RedisResult<Value> {
        match link.query(&self.by_hash()).await {
            Err(error) if is_unknown(&error) => link.query(&self.by_code()).await,
            answer => answer,
        }
    }

    /// Runs several at once, in order on one server. If Redis has lost any of them, all run again.
    pub(crate) async fn run_all(calls: &[Self], link: &mut Link) -> RedisResult<Vec<RedisResult<Value>>> {
        let answers = link.query_all(calls.iter().map(Self::by_hash).collect()).await?;
        if answers.iter().any(|answer| answer.as_ref().is_err_and(is_unknown)) {
            return link.query_all(calls.iter().map(Self::by_code).collect()).await;
        }
        Ok(answers)
    }
}

impl Given {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Number(_) => 20,
            Self::Word(word) => word.len(),
        }
    }
}

fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
