//! Small files that an operator reads and edits: the configuration, the users.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The system's words for an I/O error, as C's strerror gives them.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Reads a file of at most `max` bytes.
pub(crate) fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let meta = fs::metadata(path)?;
    if meta.is_dir() {
        return Err(io::Error::other("Is a directory"));
    }
    if meta.len() > max {
        return Err(io::Error::other("File too large"));
    }
    fs::read(path)
}

/// Replaces the text of a file, or makes it. The new text goes to a file beside it, is synced, and
/// renamed over it: a crash leaves one of the two, whole.
pub(crate) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    // A file reached through a link stays where it is; the link is not replaced.
    let path = match fs::canonicalize(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => path.to_owned(),
        found => found?,
    };
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = dir.join(name);
    let written =
        write_synced(&temporary, text, &path).and_then(|()| fs::rename(&temporary, &path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
        return written;
    }
    File::open(dir)?.sync_all()
}

fn write_synced(temporary: &Path, text: &[u8], original: &Path) -> io::Result<()> {
    // Nobody else may read it while it is written: it may hold passwords.
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(temporary)?;
    file.write_all(text)?;
    if let Ok(meta) = fs::metadata(original) {
        file.set_permissions(meta.permissions())?;
    }
    file.sync_all()
}
