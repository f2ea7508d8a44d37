//! What is logged.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use tracing::{Dispatch, Level, subscriber::DefaultGuard};

/// All that this thread logs, until it is dropped.
pub(crate) struct Log {
    text: Sink,
    _guard: DefaultGuard,
    _second: Dispatch,
}

impl Log {
    pub(crate) fn new() -> Self {
        // While there is one dispatcher only, tracing asks the thread that gets to an event first whether anybody wants it, and
        // keeps to what that said: another test's thread says no.
        let second = Dispatch::new(tracing_subscriber::registry());
        let text = Sink::default();
        let writer = text.clone();
        let log = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false);
        let guard = tracing::subscriber::set_default(log.with_writer(move || writer.clone()).finish());
        Self { text, _guard: guard, _second: second }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.text.0.lock().expect("no panic").clone()).expect("text")
    }
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
