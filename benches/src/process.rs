//! Child processes: started pinned, measured through `/proc`, killed whatever happens.
//!
//! A child dies with its [`Process`], and all of them on SIGINT or SIGTERM
//! ([`kill_all_on_signal`]).

use std::fs::{self, File};
use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Outcome;

static RUNNING: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());

/// A running child.
#[derive(Debug)]
pub struct Process {
    child: Arc<Mutex<Child>>,
    pid: u32,
    log: std::path::PathBuf,
}

impl Process {
    /// Starts `program`, on core `core` only if given. Its output goes to a file named after
    /// `label` among the temporary files.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn start(
        program: &str,
        args: &[String],
        core: Option<usize>,
        label: &str,
    ) -> Outcome<Self> {
        let log =
            std::env::temp_dir().join(format!("dunlin-bench-{}-{label}.log", std::process::id()));
        let (out, err) = (File::create(&log)?, File::options().append(true).open(&log)?);
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(out).stderr(err);
        // A child inherits the affinity of the thread that starts it.
        let child = thread::scope(|scope| {
            let spawn = move || {
                if let Some(id) = core {
                    core_affinity::set_for_current(core_affinity::CoreId { id });
                }
                command.spawn()
            };
            scope.spawn(spawn).join().unwrap_or_else(|_| Err(io::Error::other("spawn failed")))
        });
        let child = child.map_err(|e| format!("{program}: {e}"))?;
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        running().push(Arc::clone(&child));
        Ok(Self { child, pid, log })
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The end of what the child printed, if it has ended.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let status = child.try_wait().ok().flatten()?;
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<&str> = text.lines().rev().take(5).collect();
        Some(format!("{status}: {}", tail.into_iter().rev().collect::<Vec<_>>().join(" | ")))
    }

    /// CPU time used so far by all threads alive, in nanoseconds.
    #[must_use]
    pub fn cpu_ns(&self) -> u64 {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.pid)) else {
            return 0;
        };
        tasks.flatten().map(|task| schedstat(&task.path().join("schedstat"), 0)).sum()
    }

    /// Time its threads were runnable but had no core, in nanoseconds: how quiet the machine was.
    #[must_use]
    pub fn run_delay_ns(&self) -> u64 {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.pid)) else {
            return 0;
        };
        tasks.flatten().map(|task| schedstat(&task.path().join("schedstat"), 1)).sum()
    }

    /// Resident bytes now, and the most there ever were.
    #[must_use]
    pub fn rss(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        (kib_field(&status, "VmRSS:"), kib_field(&status, "VmHWM:"))
    }

    /// How many files, sockets among them, it has open.
    #[must_use]
    pub fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).map_or(0, Iterator::count)
    }

    /// Forgets the highest resident size, so that [`Process::rss`] tells that of what follows.
    pub fn reset_peak(&self) {
        // Needs no more than ownership of the process; where it fails the peak is merely older.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
    }

    /// Threads allowed to run on `core`.
    #[must_use]
    pub fn threads_on(&self, core: usize) -> usize {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.pid)) else {
            return 0;
        };
        tasks
            .flatten()
            .filter(|task| {
                let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
                let list = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:"));
                list.is_some_and(|l| cpu_list_holds(l.trim(), core))
            })
            .count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill(&self.child);
        running().retain(|c| !Arc::ptr_eq(c, &self.child));
        let _ = fs::remove_file(&self.log);
    }
}

fn running() -> std::sync::MutexGuard<'static, Vec<Arc<Mutex<Child>>>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kill(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = child.kill();
    let _ = child.wait();
}

/// Makes SIGINT and SIGTERM kill the children and end the program.
///
/// # Errors
///
/// When the handlers cannot be installed.
pub fn kill_all_on_signal() -> Outcome<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            for child in running().iter() {
                kill(child);
            }
            std::process::exit(130);
        }
    });
    Ok(())
}

/// A field of a thread's `schedstat`: 0 = time run, 1 = time waited for a core.
fn schedstat(path: &std::path::Path, field: usize) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split(' ').nth(field).and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// CPU time of the calling thread, in nanoseconds.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    schedstat(std::path::Path::new("/proc/thread-self/schedstat"), 0)
}

fn kib_field(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|l| l.strip_prefix(name));
    value.and_then(|v| v.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn cpu_list_holds(list: &str, core: usize) -> bool {
    list.split(',').any(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        matches!((from.parse::<usize>(), to.parse::<usize>()), (Ok(a), Ok(b)) if (a..=b).contains(&core))
    })
}

/// Pins the calling thread.
pub fn pin(core: Option<usize>) {
    if let Some(id) = core {
        core_affinity::set_for_current(core_affinity::CoreId { id });
    }
}

/// Where on the PATH a program is.
#[must_use]
pub fn on_path(program: &str) -> bool {
    if program.contains('/') {
        return fs::metadata(program).is_ok();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Waits until `ready` says so; fails when the child ends or the time is over.
///
/// # Errors
///
/// When the child has ended or does not answer in time.
pub fn wait_until(process: &Process, mut ready: impl FnMut() -> bool) -> Outcome<()> {
    for _ in 0..1000 {
        if ready() {
            return Ok(());
        }
        if let Some(end) = process.ended() {
            return Err(format!("server ended while starting: {end}").into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err("server does not answer within 10 s".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        assert!(cpu_list_holds("0-1", 1));
        assert!(cpu_list_holds("0,4-7", 5));
        assert!(!cpu_list_holds("0,4-7", 3));
    }

    #[test]
    fn a_dropped_process_is_dead() -> Outcome<()> {
        let process = Process::start("sleep", &["60".into()], Some(0), "sleep-test")?;
        let path = format!("/proc/{}", process.pid());
        assert!(fs::metadata(&path).is_ok());
        assert!(process.ended().is_none());
        drop(process);
        assert!(fs::metadata(&path).is_err());
        Ok(())
    }

    #[test]
    fn own_cpu_time_grows() {
        let before = thread_cpu_ns();
        let mut rng = crate::rng::Rng::new(1);
        let mut sum = 0u64;
        while thread_cpu_ns() == before {
            sum = sum.wrapping_add(rng.next_u64());
        }
        assert!(thread_cpu_ns() > before, "{sum}");
    }
}
