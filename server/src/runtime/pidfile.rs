//! The file that tells supervisors the process id.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Exists while the server runs; removed on drop, unless another process has put its id there.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    text: String,
}

impl PidFile {
    /// Writes the file; nothing to do without a path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(path: Option<&Path>) -> io::Result<Option<PidFile>> {
        let Some(path) = path else {
            return Ok(None);
        };
        let text = format!("{}\n", std::process::id());
        fs::write(path, &text)?;
        Ok(Some(PidFile { path: std::path::absolute(path)?, text }))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|found| found == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exists_as_long_as_the_guard() {
        assert!(PidFile::write(None).unwrap().is_none());
        let path = std::env::temp_dir().join(format!("dunlin-pid-{}", std::process::id()));
        let guard = PidFile::write(Some(&path)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim(), std::process::id().to_string());
        drop(guard);
        assert!(!path.exists());
        let guard = PidFile::write(Some(&path)).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(guard);
        assert!(path.exists(), "another process's file stays");
        fs::remove_file(&path).unwrap();
    }
}
