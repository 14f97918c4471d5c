//! Where snapshots are, and how a new one takes the place of the last.

use crate::config::Settings;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const TEMPORARY: &str = "temp-";
const SUFFIX: &str = ".dunlin";

/// The directory of snapshots.
pub(super) fn directory(settings: &Settings) -> PathBuf {
    let here = settings.dir.as_os_str().is_empty();
    if here { PathBuf::from(".") } else { settings.dir.clone() }
}

/// The file of the last snapshot; none: the directive names none.
pub(super) fn target(settings: &Settings) -> Option<PathBuf> {
    let name = settings.dbfilename.as_path();
    (!name.as_os_str().is_empty()).then(|| directory(settings).join(name))
}

/// A file that is written beside its target and takes its place when it is whole. Dropped before, it is
/// removed.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    target: PathBuf,
    /// It has taken its place.
    placed: bool,
}

impl Temporary {
    /// Makes an empty file in the directory of the target.
    pub(super) fn create(settings: &Settings) -> io::Result<(Self, File)> {
        let target =
            target(settings).ok_or_else(|| io::Error::other("dbfilename names no file"))?;
        // One that was cancelled may still be there for a moment.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMPORARY}{}-{number}{SUFFIX}", std::process::id());
        let path = directory(settings).join(name);
        // Nobody else may read it: it has the data of those who had to log in.
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        Ok((Temporary { path, target, placed: false }, file))
    }

    /// Puts the file, everything of which is written, in the place of its target: after a crash there
    /// is one of the two, whole.
    pub(super) fn place(mut self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        fs::rename(&self.path, &self.target)?;
        self.placed = true;
        let dir = self.target.parent().filter(|dir| !dir.as_os_str().is_empty());
        File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.placed {
            // What cannot be removed is overwritten by the next snapshot, or removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes what processes have left behind that ended in the middle of a snapshot; how many files.
pub(super) fn clean(directory: &Path) -> usize {
    let Ok(names) = fs::read_dir(directory) else { return 0 };
    let dead = names.flatten().filter(|entry| {
        let name = entry.file_name();
        name.to_str().and_then(process_of).is_some_and(is_dead)
    });
    dead.filter(|entry| fs::remove_file(entry.path()).is_ok()).count()
}

/// The process in the name of a temporary file.
fn process_of(name: &str) -> Option<u32> {
    let (process, _number) = name.strip_prefix(TEMPORARY)?.strip_suffix(SUFFIX)?.split_once('-')?;
    process.parse().ok()
}

/// This one has just begun: what has its number is another's, which had the same (in a container all
/// have).
fn is_dead(process: u32) -> bool {
    process == std::process::id() || !Path::new("/proc").join(process.to_string()).exists()
}

/// Puts a file aside that cannot be loaded; what it is called now.
pub(super) fn put_aside(path: &Path, now: i64) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".corrupt-{now}"));
    let aside = path.with_file_name(name);
    fs::rename(path, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_dead_are_removed() {
        let dir = std::env::temp_dir().join(format!("dunlin-clean-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        let own = format!("temp-{}-0.dunlin", std::process::id());
        // Process 1 lives, and numbers of processes are shorter than this one.
        for name in
            ["temp-1-0.dunlin", "temp-99999999-7.dunlin", &own, "temp-x-1.dunlin", "temp-1.rdb"]
        {
            fs::write(dir.join(name), b"x").expect("a file");
        }
        assert_eq!(clean(&dir), 2);
        let mut left: Vec<_> =
            fs::read_dir(&dir).expect("a directory").flatten().map(|e| e.file_name()).collect();
        left.sort();
        assert_eq!(left, ["temp-1-0.dunlin", "temp-1.rdb", "temp-x-1.dunlin"]);
        assert_eq!(clean(&dir.join("missing")), 0);
        fs::remove_dir_all(&dir).expect("it goes");
    }
}
