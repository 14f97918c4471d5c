//! Huge pages for memory that is in full use.
//!
//! A random key is on a random page: with pages of 4 KiB every look-up misses the processor's
//! translation cache, for the bucket and for the entry. Pages of 2 MiB are translated 512 times
//! as seldom. But a kernel that hands out huge pages on the first touch also hands out what is never
//! touched, which costs a cache several bytes per item.
//!
//! So memory comes in small pages, and what has become full is *collapsed*: [`HugePages`] looks at
//! the allocator's memory in aligned pieces of 2 MiB, and asks the kernel (`MADV_COLLAPSE`, Linux
//! 6.1) to back those of which every page is resident with one huge page. Nothing is resident
//! afterwards that was not before. The addresses and contents stay; readers and writers go on.
//!
//! This is for a thread that has nothing else to do ([`run_when_idle`]): one piece costs from 0.1 ms
//! (a huge page is free) to some milliseconds (the kernel has to make one).

use std::collections::HashSet;
use std::io;

/// A huge page of x86-64, and of AArch64 with base pages of 4 KiB.
pub const HUGE: usize = 2 << 20;

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The pass is over: there is no piece left to look at.
    Over,
    /// A piece was looked at, and is a huge page now if it is in full use.
    Looked {
        /// Whether it was collapsed just now.
        collapsed: bool,
    },
    /// The kernel has no huge page to give.
    Scarce,
    /// This system cannot do it.
    Unsupported,
}

/// Passes over the process's anonymous memory.
#[derive(Debug, Default)]
pub struct HugePages {
    /// Pieces that are huge pages, as far as is known.
    huge: HashSet<usize>,
    /// Pieces to look at in this pass, the last one first.
    left: Vec<usize>,
}

impl HugePages {
    /// Begins a pass. A `whole` one looks again at what is known to be huge: the allocator gives
    /// parts of it back to the system when they are free for a while.
    ///
    /// # Errors
    /// If the list of mappings cannot be read.
    pub fn begin(&mut self, whole: bool) -> io::Result<()> {
        let maps = std::fs::read_to_string("/proc/self/maps")?;
        if whole {
            self.huge.clear();
        }
        self.left = pieces(&maps).filter(|piece| !self.huge.contains(piece)).collect();
        Ok(())
    }

    /// Looks at one piece.
    pub fn step(&mut self) -> Step {
        let Some(piece) = self.left.pop() else { return Step::Over };
        if !system::is_resident(piece) {
            return Step::Looked { collapsed: false };
        }
        match system::collapse(piece) {
            Ok(()) => {
                self.huge.insert(piece);
                Step::Looked { collapsed: true }
            }
            Err(error) => match error.kind() {
                io::ErrorKind::OutOfMemory => Step::Scarce,
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => Step::Unsupported,
                // Busy pages, or a mapping that has gone since: another pass will find it.
                _ => Step::Looked { collapsed: false },
            },
        }
    }
}

/// From now on the calling thread runs only when nobody else wants its processor. Even a thread of low
/// priority is given milliseconds at a time otherwise.
///
/// # Errors
/// If the system does not allow it.
pub fn run_when_idle() -> io::Result<()> {
    system::run_when_idle()
}

/// The aligned pieces of the writable anonymous mappings, from the text of `/proc/self/maps`.
fn pieces(maps: &str) -> impl Iterator<Item = usize> {
    maps.lines().filter_map(anonymous).flat_map(|(start, end)| {
        let first = start.next_multiple_of(HUGE);
        (first..end).step_by(HUGE).take_while(move |piece| piece + HUGE <= end)
    })
}

/// `start-end rw-p offset device inode [name]`
fn anonymous(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let private = fields.next()? == "rw-p";
    let inode = fields.nth(2)?;
    // Stacks, the heap of the C library and files have names.
    let nameless = fields.next().is_none_or(|name| name.starts_with("[anon"));
    let address = |text| usize::from_str_radix(text, 16).ok();
    (private && inode == "0" && nameless).then_some((address(start)?, address(end)?))
}

#[cfg(target_os = "linux")]
mod system {
    use super::HUGE;
    use std::io;

    /// Base pages of a piece.
    const PAGES: usize = HUGE / 4096;

    /// Whether every page of the piece is resident; false if parts of it are not mapped any more.
    pub(super) fn is_resident(piece: usize) -> bool {
        let mut pages = [0_u8; PAGES];
        // SAFETY: `mincore` reads no memory of the piece and writes one byte per page of at least
        // 4 KiB into `pages`, which has that many. An address that is not mapped is an error.
        let found = unsafe {
            libc::mincore(std::ptr::without_provenance_mut(piece), HUGE, pages.as_mut_ptr())
        };
        found == 0 && pages.iter().all(|page| page & 1 == 1)
    }

    /// Backs the piece with one huge page.
    pub(super) fn collapse(piece: usize) -> io::Result<()> {
        // SAFETY: MADV_COLLAPSE changes how memory is backed and nothing that a program can see:
        // contents and protection stay, and so do mappings that are not ours.
        let done = unsafe {
            libc::madvise(std::ptr::without_provenance_mut(piece), HUGE, libc::MADV_COLLAPSE)
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    pub(super) fn run_when_idle() -> io::Result<()> {
        let priority = libc::sched_param { sched_priority: 0 };
        // SAFETY: changes how the calling thread is scheduled, and nothing else.
        let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const priority) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    pub(super) fn is_resident(_piece: usize) -> bool {
        true
    }

    pub(super) fn collapse(_piece: usize) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn run_when_idle() -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_aligned_insides_of_nameless_writable_mappings() {
        let maps = "\
            00400000-00c00000 r-xp 00000000 fe:00 99 /bin/dunlin\n\
            7f0000100000-7f0000800000 rw-p 00000000 00:00 0 \n\
            7f0001000000-7f0001200000 ---p 00000000 00:00 0\n\
            7f0001200000-7f0001400000 rw-p 00000000 00:00 0 [anon:mimalloc]\n\
            7f0001400000-7f0001800000 rw-p 00000000 00:00 0 [stack]\n\
            7f0001900000-7f0001a00000 rw-p 00000000 00:00 0\n\
            7f0002000000-7f0002400000 rw-s 00000000 00:01 7 /dev/zero (deleted)\n\
            junk\n";
        let found: Vec<usize> = pieces(maps).collect();
        let wanted = [0x7f00_0020_0000, 0x7f00_0040_0000, 0x7f00_0060_0000, 0x7f00_0120_0000];
        assert_eq!(found, wanted);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn full_memory_is_collapsed_and_keeps_its_contents() {
        let mut block = vec![0_u8; 8 * HUGE];
        let sparse = block.as_ptr().addr().next_multiple_of(HUGE);
        // Zeroed memory of this size is not touched by the allocator: only the second half is full.
        for (i, byte) in block.iter_mut().enumerate().skip(4 * HUGE) {
            *byte = (i % 251) as u8;
        }
        let mut pages = HugePages::default();
        pages.begin(true).expect("the list of mappings");
        let mut collapsed = 0;
        loop {
            match pages.step() {
                Step::Over => break,
                Step::Looked { collapsed: true } => collapsed += 1,
                Step::Looked { collapsed: false } => {}
                // An old kernel, or one without memory.
                Step::Scarce | Step::Unsupported => return,
            }
        }
        assert!(collapsed >= 3, "{collapsed}");
        assert!(!pages.huge.contains(&sparse), "what is not used does not become resident");
        let intact = |(i, byte): (usize, &u8)| *byte == (i % 251) as u8;
        assert!(block.iter().enumerate().skip(4 * HUGE).all(intact));
    }
}
