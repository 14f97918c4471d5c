//! Loading an RDB file of Redis or Valkey in the place of a snapshot.

use super::fill::{Batch, Filling, Item};
use super::load::Wanted;
use crate::rdb::file::{File, Record, Refused};
use crate::server::Server;
use dunlin_storage::DbId;
use std::io::Read;
use std::sync::atomic::Ordering;

/// Bytes of keys and values that make a batch.
const BATCH: usize = 64 * 1024;

/// Reads a file; nothing, if the process is to end.
pub(super) fn read(
    server: &'static Server,
    input: impl Read,
    filling: &Filling,
) -> Result<Option<Wanted>, String> {
    let told = |refused: Refused| refused.to_string();
    let mut file = File::open(input).map_err(told)?;
    let (mut wanted, mut items, mut bytes) = (Wanted::default(), Vec::new(), 0);
    while let Some(record) = file.next() {
        match record.map_err(told)? {
            Record::Library(text) => wanted.libraries.push(text),
            Record::Sizes { .. } => {}
            Record::Key { db, key, expire_at, kind, body } => {
                // A database that is too large is refused like one that is not there.
                let db = DbId(u8::try_from(db).unwrap_or(u8::MAX));
                bytes += key.len() + body.len();
                items.push(Item { db, key, expire_at, kind, body });
            }
        }
        if bytes >= BATCH {
            server.snapshots.loading.bytes.store(file.position(), Ordering::Relaxed);
            if server.shutdown.requested() {
                return Ok(None);
            }
            filling.add(Batch::Items(std::mem::take(&mut items)))?;
            bytes = 0;
        }
    }
    filling.add(Batch::Items(items))?;
    Ok(Some(wanted))
}
