//! A directory for the files that servers are given (sockets, certificates).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Outcome;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory among the temporary files that goes with this.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// An empty one. Its path is short: that of a socket in it must fit into 108 bytes.
    pub(crate) fn new() -> Outcome<Self> {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("dunlin-bench-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it, as an argument.
    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_goes_with_its_files() -> Outcome<()> {
        let (one, other) = (Scratch::new()?, Scratch::new()?);
        assert_ne!(one.path(), other.path());
        std::fs::write(one.file("x"), "x")?;
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists() && other.path().is_dir());
        Ok(())
    }
}
