use super::super::super::node::NodeId;
use super::super::types::Types;
use super::*;
use openraft::{CommittedLeaderId, EntryPayload};
use std::sync::atomic::{AtomicU32, Ordering};

fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, NodeId::from(1)), index)
}

fn entry(term: u64, index: u64) -> Entry {
    openraft::Entry::<Types> { log_id: id(term, index), payload: EntryPayload::Blank }
}

/// A directory of the test's own, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn directory() -> Directory {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("dunlin-disk-{}-{number}", std::process::id());
    Directory(std::env::temp_dir().join(name))
}

fn filled(path: &Path) -> Disk {
    let mut disk = Disk::open(path, true).unwrap();
    disk.save_vote(Vote::new(3, NodeId::from(1))).unwrap();
    disk.append_entries((1..=9).map(|index| entry(2, index)).collect()).unwrap();
    disk
}

fn save_snapshot(disk: &mut Disk, upto: LogId) {
    let meta = SnapshotMeta { last_log_id: Some(upto), ..SnapshotMeta::default() };
    disk.save_snapshot(&meta, b"{}").unwrap();
}

#[test]
fn what_was_written_is_there_again() {
    let path = directory();
    let mut disk = filled(path.path());
    disk.truncate(8).unwrap();
    disk.save_committed(id(2, 6)).unwrap();
    disk.append_entries(vec![entry(3, 8)]).unwrap();
    save_snapshot(&mut disk, id(2, 3));
    disk.purge(id(2, 3)).unwrap();
    drop(disk);
    let disk = Disk::open(path.path(), true).unwrap();
    assert_eq!(disk.vote(), Some(Vote::new(3, NodeId::from(1))));
    assert_eq!((disk.purged(), disk.last()), (Some(id(2, 3)), Some(id(3, 8))));
    assert_eq!(disk.committed(), Some(id(2, 6)));
    assert_eq!(disk.entries(..).len(), 5);
    assert_eq!(disk.entries(4..6), [entry(2, 4), entry(2, 5)]);
}

#[test]
fn one_process_at_a_time() {
    let path = directory();
    let disk = Disk::open(path.path(), true).unwrap();
    let second = Disk::open(path.path(), true).unwrap_err();
    assert!(second.to_string().contains("in use"), "{second}");
    drop(disk);
    assert!(Disk::open(path.path(), true).is_ok());
}

#[test]
fn an_end_that_was_cut_off_is_removed() {
    let path = directory();
    drop(filled(path.path()));
    let log = path.path().join("log");
    let whole = fs::read(&log).unwrap();
    let nine = whole.len();
    drop({
        let mut disk = Disk::open(path.path(), true).unwrap();
        disk.append_entries(vec![entry(2, 10)]).unwrap();
        disk
    });
    let ten = fs::read(&log).unwrap();
    for length in nine..ten.len() {
        for fill in [0, 1] {
            let mut bytes = ten[..length].to_vec();
            if fill == 1 && length > nine + HEADER {
                // As long as it should be, but not what it should be.
                bytes.resize(ten.len(), 0xff);
            }
            fs::write(&log, &bytes).unwrap();
            let mut disk = Disk::open(path.path(), true).unwrap();
            assert_eq!(disk.last(), Some(id(2, 9)), "{length}");
            disk.append_entries(vec![entry(4, 10)]).unwrap();
            drop(disk);
            let disk = Disk::open(path.path(), true).unwrap();
            assert_eq!(disk.last(), Some(id(4, 10)), "{length}");
        }
    }
    let mut zeros = whole;
    zeros.resize(nine + 4096, 0);
    fs::write(&log, &zeros).unwrap();
    assert_eq!(Disk::open(path.path(), true).unwrap().last(), Some(id(2, 9)));
}

#[test]
fn damage_is_no_cut() {
    let path = directory();
    drop(filled(path.path()));
    let log = path.path().join("log");
    let whole = fs::read(&log).unwrap();
    let first =
        HEADER + usize::try_from(u32::from_be_bytes(whole[..4].try_into().unwrap())).unwrap();
    // Lengths included.
    for at in 0..first {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&log, &bytes).unwrap();
        let error = Disk::open(path.path(), true).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{at}: {error}");
    }
}

#[test]
fn a_disk_that_was_full_is_gone_on_with() {
    let path = directory();
    let mut disk = filled(path.path());
    let log = std::mem::replace(&mut disk.log, options().open("/dev/full").unwrap());
    assert!(disk.append_entries(vec![entry(3, 10)]).is_err());
    disk.log = log;
    // Nobody knows what there is of it.
    assert!(disk.save_vote(Vote::new(4, NodeId::from(1))).is_err());
    assert_eq!((disk.vote(), disk.last()), (Some(Vote::new(3, NodeId::from(1))), Some(id(2, 9))));
    let probe = path.path().join("probe.new");
    fs::create_dir(&probe).unwrap();
    assert!(disk.recover().is_err(), "a disk that takes no file is not used");
    assert!(disk.append_entries(vec![entry(3, 10)]).is_err());
    fs::remove_dir(&probe).unwrap();
    disk.recover().unwrap();
    disk.append_entries(vec![entry(4, 10)]).unwrap();
    drop(disk);
    let disk = Disk::open(path.path(), true).unwrap();
    assert_eq!((disk.vote(), disk.last()), (Some(Vote::new(3, NodeId::from(1))), Some(id(4, 10))));
    assert_eq!(disk.entries(..).len(), 10);
    let mut names: Vec<_> =
        fs::read_dir(path.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["lock", "log"]);
}

#[test]
fn entries_stay_until_there_is_a_snapshot_that_has_them() {
    let path = directory();
    let mut disk = filled(path.path());
    save_snapshot(&mut disk, id(2, 2));
    disk.purge(id(3, 20)).unwrap();
    // So openraft sees it.
    assert_eq!((disk.purged(), disk.last()), (Some(id(3, 20)), Some(id(3, 20))));
    assert_eq!(disk.entries(..), []);
    assert!(disk.append_entries(vec![entry(3, 21)]).is_err());
    drop(disk);
    // The snapshot has not come.
    let mut disk = Disk::open(path.path(), true).unwrap();
    assert_eq!((disk.purged(), disk.last()), (None, Some(id(2, 9))));
    disk.purge(id(3, 20)).unwrap();
    disk.recover().unwrap();
    assert_eq!((disk.purged(), disk.last()), (None, Some(id(2, 9))));
    disk.purge(id(3, 20)).unwrap();
    save_snapshot(&mut disk, id(3, 20));
    disk.append_entries(vec![entry(3, 21)]).unwrap();
    // It was begun before that one came.
    save_snapshot(&mut disk, id(2, 5));
    drop(disk);
    let disk = Disk::open(path.path(), true).unwrap();
    assert_eq!(disk.snapshot().unwrap().unwrap().0.last_log_id, Some(id(3, 20)));
    assert_eq!((disk.purged(), disk.last()), (Some(id(3, 20)), Some(id(3, 21))));
    assert_eq!(disk.entries(..), [entry(3, 21)]);
}

#[test]
fn a_snapshot_without_a_log_is_left_over() {
    let path = directory();
    let mut disk = filled(path.path());
    save_snapshot(&mut disk, id(2, 5));
    let snapshot = fs::read(path.path().join("snapshot")).unwrap();
    disk.clear().unwrap();
    assert!(disk.snapshot().unwrap().is_none());
    drop(disk);
    // The process has ended in the middle of that.
    fs::write(path.path().join("snapshot"), &snapshot).unwrap();
    let disk = Disk::open(path.path(), true).unwrap();
    assert!(disk.snapshot().unwrap().is_none());
    assert_eq!((disk.vote(), disk.purged(), disk.last()), (None, None, None));
}

#[test]
fn files_are_replaced_as_a_whole() {
    let path = directory();
    let mut disk = Disk::open(path.path(), true).unwrap();
    assert_eq!(disk.read::<u64>("node").unwrap(), None);
    disk.replace("node", &7_u64).unwrap();
    disk.replace("node", &8_u64).unwrap();
    assert_eq!(disk.read::<u64>("node").unwrap(), Some(8));
    let node = path.path().join("node");
    let bytes = fs::read(&node).unwrap();
    for (length, flipped) in [(bytes.len() - 1, 0), (bytes.len(), HEADER), (3, 0)] {
        let mut bytes = bytes[..length].to_vec();
        bytes[flipped] ^= 1;
        fs::write(&node, &bytes).unwrap();
        assert!(disk.read::<u64>("node").is_err());
    }
}

#[test]
fn the_log_is_written_anew_when_most_of_it_is_old() {
    let path = directory();
    let mut disk = filled(path.path());
    let mut index = 10;
    while disk.length <= SMALL {
        disk.append_entries((index..index + 500).map(|index| entry(3, index)).collect()).unwrap();
        index += 500;
    }
    save_snapshot(&mut disk, id(3, index - 10));
    disk.purge(id(3, index - 10)).unwrap();
    assert!(disk.length < 4096, "{}", disk.length);
    disk.append_entries(vec![entry(3, index)]).unwrap();
    drop(disk);
    let mut disk = Disk::open(path.path(), true).unwrap();
    assert_eq!((disk.purged(), disk.last()), (Some(id(3, index - 10)), Some(id(3, index))));
    assert_eq!(disk.vote(), Some(Vote::new(3, NodeId::from(1))));
    disk.clear().unwrap();
    drop(disk);
    let disk = Disk::open(path.path(), true).unwrap();
    assert_eq!((disk.vote(), disk.purged(), disk.last()), (None, None, None));
}
