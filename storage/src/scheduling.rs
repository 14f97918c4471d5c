//! What a thread asks of the system's scheduler.

use std::io;

/// Asks for short slices for the calling thread.
///
/// A thread that is woken on a processor where another one runs goes on at once if it asks for
/// shorter slices than that one. Otherwise the other may finish its own first: some milliseconds, in
/// which connections wait for a command that runs beside them. Neither gets more time altogether
/// than before. Linux before 6.12 takes no notice.
///
/// # Errors
///
/// When the system does not allow it or does not know how.
pub fn ask_for_short_slices() -> io::Result<()> {
    system::set_slice(SLICE)
}

/// Takes the usual slices for the calling thread: threads inherit what those have asked for that have
/// begun them, and who asks for nothing shorter is not let in before them.
///
/// # Errors
///
/// When the system does not allow it or does not know how.
pub fn ask_for_usual_slices() -> io::Result<()> {
    system::set_slice(USUAL)
}

/// The least that Linux accepts, in nanoseconds.
const SLICE: u64 = 100_000;
/// What the system takes for everybody.
const USUAL: u64 = 0;

#[cfg(target_os = "linux")]
mod system {
    use std::io;

    /// How the calling thread is scheduled.
    pub(super) fn attributes() -> io::Result<libc::sched_attr> {
        let size = u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0);
        let mut attributes = libc::sched_attr {
            size,
            sched_policy: 0,
            sched_flags: 0,
            sched_nice: 0,
            sched_priority: 0,
            sched_runtime: 0,
            sched_deadline: 0,
            sched_period: 0,
        };
        // SAFETY: writes at most `size` bytes into `attributes`, which has that many.
        let found =
            unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
        if found == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
    }

    pub(super) fn set_slice(nanos: u64) -> io::Result<()> {
        let mut attributes = attributes()?;
        // All others stay.
        attributes.sched_runtime = nanos;
        // SAFETY: reads `attributes`, and changes how the calling thread is scheduled.
        let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    pub(super) fn set_slice(_nanos: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    /// The slice that the calling thread has asked for, or the usual one.
    fn slice() -> u64 {
        super::system::attributes().expect("the system tells").sched_runtime
    }

    #[test]
    fn threads_inherit_short_slices_and_may_take_the_usual_ones() {
        std::thread::spawn(|| {
            let usual = slice();
            super::ask_for_short_slices().expect("the system allows it");
            if slice() == usual {
                // This system takes no notice.
                return;
            }
            let child = move || {
                assert_eq!(slice(), super::SLICE);
                super::ask_for_usual_slices().expect("the system allows it");
                assert_eq!(slice(), usual);
            };
            std::thread::spawn(child).join().expect("it has the usual ones");
            assert_eq!(slice(), super::SLICE);
        })
        .join()
        .expect("it has short ones");
    }

    #[test]
    fn a_thread_keeps_its_priority() {
        std::thread::spawn(|| {
            // SAFETY: changes the priority of this thread, which then ends. The tests may have another one
            // than usual themselves.
            let before = unsafe { libc::nice(3) };
            super::ask_for_short_slices().expect("the system allows it");
            // SAFETY: asks for the priority of this thread.
            assert_eq!(unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }, before);
        })
        .join()
        .expect("it keeps it");
    }
}
