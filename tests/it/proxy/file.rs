//! Files for the proxy to read.

use std::{env, fs, path::PathBuf};

/// A file that is gone with the test.
#[derive(Debug)]
pub(super) struct File(PathBuf);

impl File {
    pub(super) fn with(text: &str) -> Self {
        let path = env::temp_dir().join(format!("larder-{}", uuid::Uuid::new_v4()));
        fs::write(&path, text).expect("a file can be written");
        Self(path)
    }

    pub(super) fn path(&self) -> &str {
        self.0.to_str().expect("a path of text")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
