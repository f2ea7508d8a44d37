//! Programs that the tests need and don't bring along.

use std::{env, path::PathBuf};

/// Where a program is; the test fails if it is missing, and says which of Debian's packages has it.
pub(crate) fn program(name: &str, package: &str) -> PathBuf {
    find(name).unwrap_or_else(|| panic!("this test needs {name}, and it is not installed: `apt-get install {package}`"))
}

/// A program on the search path.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|program| program.is_file())
}
