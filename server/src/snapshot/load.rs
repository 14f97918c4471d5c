//! Loading a file at the start; see [`super`] for what is promised.

use super::files;
use super::fill::{self, Batch, Filled, Filling};
use super::format::{BlockReader, Broken, Kind, MAGIC};
use super::rdb_file;
use crate::config::{LoadOnCorrupt, Settings};
use crate::runtime::phase::{Phase, Phases};
use crate::scripting;
use crate::server::Server;
use dunlin_storage::Millis;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;

/// The loading of a file, for INFO. Relaxed words; they publish nothing but themselves.
#[derive(Debug, Default)]
pub struct Loading {
    /// When it began, in milliseconds; 0: it has not.
    pub began: AtomicI64,
    /// Bytes of the file.
    pub total_bytes: AtomicU64,
    /// Bytes of it that were read.
    pub bytes: AtomicU64,
    /// Keys stored.
    pub loaded: AtomicU64,
    /// Keys left out because their time was over.
    pub expired: AtomicU64,
    over: AtomicBool,
}

impl Loading {
    /// Whether everything that was to be loaded is.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// How the loading of a file ended without an error.
enum Loaded {
    All,
    /// The process is to end.
    Interrupted,
}

/// In which phase a server begins: whether there is a file to load.
pub(crate) fn first_phase(settings: &Settings) -> Phases {
    match files::target(settings).is_some_and(|path| path.exists()) {
        true => Phases::loading(),
        false => Phases::default(),
    }
}

/// Loads the file of the last snapshot, if there is one, and begins to serve; false if the process is to
/// end before that.
///
/// # Errors
/// Why it is refused.
pub(crate) fn load(server: &'static Server) -> io::Result<bool> {
    let settings = server.settings();
    let (snapshots, loading) = (&server.snapshots, &server.snapshots.loading);
    let removed = files::clean(&files::directory(&settings));
    if removed > 0 {
        tracing::info!(files = removed, "removed what was left of interrupted snapshots");
    }
    // A node of a cluster comes back empty: its slots may have had another owner since.
    let may_load = server.phases.now() == Phase::Loading && server.cluster.is_none();
    let path = files::target(&settings).filter(|_| may_load);
    if let Some(path) = path {
        let began = server.clock.now();
        loading.began.store(began, Ordering::Relaxed);
        match load_file(server, &path) {
            Ok(Loaded::All) => report(server, &path, began),
            Ok(Loaded::Interrupted) => return Ok(false),
            Err(why) => refuse(server, &settings, &path, &why)?,
        }
        snapshots.note_changes(server.keyspace.stats().changes);
    }
    loading.over.store(true, Ordering::Relaxed);
    server.phases.enter(Phase::Serving);
    Ok(true)
}

/// Reads the file of a server that serves.
pub(super) fn again(server: &'static Server, path: &Path) -> Result<(), String> {
    let (loading, began) = (&server.snapshots.loading, server.clock.now());
    loading.loaded.store(0, Ordering::Relaxed);
    loading.expired.store(0, Ordering::Relaxed);
    match load_file(server, path)? {
        Loaded::All => report(server, path, began),
        Loaded::Interrupted => return Err("the process is to end".to_owned()),
    }
    Ok(())
}

fn report(server: &Server, path: &Path, began: Millis) {
    let loading = &server.snapshots.loading;
    tracing::info!(
        file = %path.display(),
        keys = loading.loaded.load(Ordering::Relaxed),
        expired = loading.expired.load(Ordering::Relaxed),
        millis = server.clock.now().saturating_sub(began),
        "snapshot loaded"
    );
}

/// What is to be done with a file that is not as it should be.
fn refuse(server: &'static Server, settings: &Settings, path: &Path, why: &str) -> io::Result<()> {
    let file = path.display();
    if settings.load_on_corrupt == LoadOnCorrupt::Refuse {
        return Err(io::Error::other(format!(
            "cannot load {file}: {why}; remove it, or start with load-on-corrupt ignore"
        )));
    }
    fill::empty(server);
    server.libraries.flush();
    let loading = &server.snapshots.loading;
    loading.loaded.store(0, Ordering::Relaxed);
    loading.expired.store(0, Ordering::Relaxed);
    let now = server.clock.wall_us() / 1_000_000;
    let kept = match files::put_aside(path, now) {
        Ok(aside) => format!("it is kept as {}", aside.display()),
        Err(error) => format!("it stays, and the next snapshot replaces it: {error}"),
    };
    tracing::error!("starting empty: cannot load {file}: {why}; {kept}");
    Ok(())
}

fn load_file(server: &'static Server, path: &Path) -> Result<Loaded, String> {
    let open = || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut input = BufReader::with_capacity(BUFFER, file);
        let first = input.fill_buf()?.first().copied();
        io::Result::Ok((input, length, first))
    };
    let (input, length, first) = open().map_err(|error| Broken::from(error).to_string())?;
    server.snapshots.loading.total_bytes.store(length, Ordering::Relaxed);
    let filling = Filling::start(server);
    // What is no snapshot may be an RDB file of another server.
    let read = match first {
        Some(byte) if !MAGIC.starts_with(&[byte]) => rdb_file::read(server, input, &filling),
        _ => read_blocks(server, input, &filling),
    };
    // Whatever was read: nothing of it is under way any more afterwards.
    let filled = filling.finish();
    let (read, filled) = (read?, filled?);
    let Some(wanted) = read else { return Ok(Loaded::Interrupted) };
    conclude(server, wanted, filled)?;
    Ok(Loaded::All)
}

/// What is left to do when all values are stored.
fn conclude(server: &'static Server, wanted: Wanted, filled: Filled) -> Result<(), String> {
    if wanted.entries.is_some_and(|entries| entries != filled.entries) {
        return Err(format!("it has {} entries and says otherwise", filled.entries));
    }
    for text in wanted.libraries.iter().chain(&filled.libraries) {
        let library = scripting::load_library(text, &server.clock)?;
        server.libraries.change(|set| set.add(library, true))?;
    }
    Ok(())
}

/// What a file says of itself.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// How many entries it has, if it says so.
    pub(super) entries: Option<u64>,
    /// Texts of libraries.
    pub(super) libraries: Vec<Vec<u8>>,
}

/// Reads a snapshot; nothing, if the process is to end.
fn read_blocks(
    server: &'static Server,
    input: impl BufRead,
    filling: &Filling,
) -> Result<Option<Wanted>, String> {
    let told = |broken: Broken| broken.to_string();
    let mut reader = BlockReader::begin(input).map_err(told)?;
    let mut long = Vec::new();
    while let Some(block) = reader.next_block().map_err(told)? {
        server.snapshots.loading.bytes.store(reader.bytes_read(), Ordering::Relaxed);
        if server.shutdown.requested() {
            return Ok(None);
        }
        let kind = block.kind;
        let bytes = block.unpack().map_err(told)?;
        let belongs = kind == Kind::Entries && !long.is_empty();
        if belongs {
            return Err("an entry has no end".to_owned());
        }
        match kind {
            Kind::Piece => long.extend_from_slice(&bytes),
            Kind::LastPiece => {
                long.extend_from_slice(&bytes);
                filling.add(Batch::Entries(std::mem::take(&mut long)))?;
            }
            Kind::Entries | Kind::End => filling.add(Batch::Entries(bytes))?,
        }
    }
    if !long.is_empty() {
        return Err("an entry has no end".to_owned());
    }
    Ok(Some(Wanted { entries: reader.entries(), libraries: Vec::new() }))
}
