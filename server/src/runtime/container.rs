//! What the machine or the container allows: memory, CPU time, file descriptors.
//!
//! A container's limits are in files of its control group, in two generations that differ in names
//! and formats, and every ancestor's limit counts too. The functions that read texts are pure; thin
//! readers around them know the paths. Nothing here fails: what cannot be read is no limit.

use std::fs;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors the server keeps for itself: listeners, wake-ups, log, files.
pub const RESERVED_FDS: u64 = 32;
/// Descriptors that there is room for from the beginning, at most: half a megabyte.
const FDS_AT_ONCE: u64 = 64 * 1024;

/// Memory of the machine and of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Bytes of the machine; 0 = unknown.
    pub machine: u64,
    /// The tightest limit of the control groups.
    pub limit: Option<u64>,
}

impl Memory {
    /// Bytes the process may count on; 0 = unknown.
    #[must_use]
    pub fn usable(&self) -> u64 {
        match self.limit {
            Some(limit) if self.machine == 0 => limit,
            Some(limit) => limit.min(self.machine),
            None => self.machine,
        }
    }
}

/// CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cpu {
    /// CPUs the process may be scheduled on.
    pub available: usize,
    /// CPUs' worth of time per period, if limited.
    pub quota: Option<f64>,
}

impl Cpu {
    /// Workers that can run without being throttled: rounded down, because two threads on a quota
    /// of 1.5 use it up in three quarters of the period and then stand still.
    #[must_use]
    pub fn workers(&self) -> usize {
        let floor = match self.quota {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Some(quota) => (quota.max(0.0) + 1e-9).floor() as usize,
            None => usize::MAX,
        };
        self.available.min(floor).max(1)
    }
}

/// File descriptors and what they allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fds {
    /// The soft limit in force.
    pub limit: u64,
}

impl Fds {
    /// Clients that fit, given what is asked for.
    #[must_use]
    pub fn max_clients(&self, wanted: u32) -> u32 {
        let room = self.limit.saturating_sub(RESERVED_FDS).max(1);
        wanted.min(u32::try_from(room).unwrap_or(u32::MAX))
    }

    /// Has the system make room for the descriptors of so many clients, before there are threads. Its
    /// table doubles whenever it is full, and in a process with threads whoever opens the descriptor
    /// that does not fit waits until no processor looks at the old table any more: ten milliseconds, in
    /// which a worker would serve nobody.
    pub fn make_room(&self, clients: u32) {
        let wanted = u64::from(clients).saturating_add(RESERVED_FDS);
        let last = wanted.min(self.limit).min(FDS_AT_ONCE).saturating_sub(1);
        // Without it the table grows when it has to.
        let _ = fcntl_dupfd_cloexec(std::io::stdin(), RawFd::try_from(last).unwrap_or(0));
    }
}

/// Everything that bounds the process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Memory.
    pub memory: Memory,
    /// CPU time.
    pub cpu: Cpu,
    /// File descriptors.
    pub fds: Fds,
    /// Workers that will run.
    pub workers: usize,
    /// Clients that will be served at once.
    pub maxclients: u32,
}

impl Limits {
    /// Detects the limits and raises the soft limit of descriptors to the hard one. `workers` and
    /// `maxclients` are the settings (0 workers = automatic).
    #[must_use]
    pub fn detect(workers: u32, maxclients: u32) -> Limits {
        let cpu = detect_cpu();
        let fds = raise_fd_limit();
        Limits {
            memory: detect_memory(),
            cpu,
            fds,
            workers: match workers {
                0 => cpu.workers(),
                n => usize::try_from(n).unwrap_or(1),
            },
            maxclients: fds.max_clients(maxclients),
        }
    }
}

/// Raises the soft limit of open files to the hard one.
pub fn raise_fd_limit() -> Fds {
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: now.maximum, maximum: now.maximum };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => now.maximum,
        Err(_) => now.current,
    };
    Fds { limit: limit.unwrap_or(u64::MAX) }
}

// ---- memory

/// Reads the memory limits of this process.
#[must_use]
pub fn detect_memory() -> Memory {
    Memory {
        machine: read("/proc/meminfo").and_then(|text| mem_total(&text)).unwrap_or(0),
        limit: Groups::read().memory_limit(),
    }
}

/// Bytes of `MemTotal` in the text of `/proc/meminfo`.
#[must_use]
pub fn mem_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// A limit in a `memory.max` or `memory.limit_in_bytes` file. The first generation says "none" by
/// a number near 2^63.
#[must_use]
pub fn memory_limit(text: &str) -> Option<u64> {
    let n: u64 = text.trim().parse().ok()?;
    (n < 1 << 60).then_some(n)
}

/// Resident bytes of this process; 0 = unknown.
#[must_use]
pub fn resident() -> u64 {
    let pages = read("/proc/self/statm").and_then(|text| resident_pages(&text));
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    pages.unwrap_or(0).saturating_mul(page)
}

/// The second field of `/proc/self/statm`.
#[must_use]
pub fn resident_pages(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

// ---- CPU

/// Reads the CPU limits of this process.
#[must_use]
pub fn detect_cpu() -> Cpu {
    Cpu {
        // Respects the affinity mask; it also floors a quota, which does no harm.
        available: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        quota: Groups::read().cpu_quota(),
    }
}

/// CPUs in a `cpu.max` file: `200000 100000` is 2, `max 100000` is no limit.
#[must_use]
pub fn cpu_max(text: &str) -> Option<f64> {
    let mut fields = text.split_ascii_whitespace();
    let quota = fields.next()?;
    let period = fields.next().unwrap_or("100000");
    cpu_cfs(quota, period)
}

/// CPUs of `cpu.cfs_quota_us` and `cpu.cfs_period_us`; -1 is no limit.
#[must_use]
pub fn cpu_cfs(quota: &str, period: &str) -> Option<f64> {
    let quota: f64 = quota.trim().parse().ok()?;
    let period: f64 = period.trim().parse().ok()?;
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// Periods in which the control group was throttled; `None` when there is no such figure.
#[must_use]
pub fn throttled_periods() -> Option<u64> {
    Groups::read().cpu_stat().and_then(|text| nr_throttled(&text))
}

/// `nr_throttled` of a `cpu.stat` file.
#[must_use]
pub fn nr_throttled(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("nr_throttled "))?.trim().parse().ok()
}

/// Watches whether the process is being stopped for having used up a quota.
#[derive(Debug, Default)]
pub struct Throttling {
    /// The `cpu.stat` files of the groups that have a quota.
    files: Vec<PathBuf>,
    /// Periods in which they had stopped the process when last looked at.
    seen: Option<u64>,
}

impl Throttling {
    /// Finds the groups. Without a quota there is nothing to watch, and nothing is read later.
    #[must_use]
    pub fn find() -> Throttling {
        Throttling { files: Groups::read().with_quota(), seen: None }
    }

    /// Whether the process was stopped since the last call. The first one only looks.
    pub fn has_risen(&mut self) -> bool {
        let periods = self.files.iter().filter_map(|file| nr_throttled(&read(file)?)).sum();
        self.seen.replace(periods).is_some_and(|before| periods > before)
    }
}

// ---- control groups

/// The directories of this process's control groups, the innermost first.
#[derive(Debug, Default, PartialEq, Eq)]
struct Groups {
    /// Second generation.
    unified: Vec<PathBuf>,
    /// First generation, memory controller.
    memory: Vec<PathBuf>,
    /// First generation, cpu controller.
    cpu: Vec<PathBuf>,
}

impl Groups {
    fn read() -> Groups {
        let own = read("/proc/self/cgroup").unwrap_or_default();
        let mounts = read("/proc/self/mountinfo").unwrap_or_default();
        groups(&own, &mounts)
    }

    fn memory_limit(&self) -> Option<u64> {
        let unified = limits(&self.unified, "memory.max", memory_limit);
        let old = limits(&self.memory, "memory.limit_in_bytes", memory_limit);
        unified.chain(old).min()
    }

    fn cpu_quota(&self) -> Option<f64> {
        let unified = limits(&self.unified, "cpu.max", cpu_max);
        let old = self.cpu.iter().filter_map(|dir| {
            let quota = read(dir.join("cpu.cfs_quota_us"))?;
            cpu_cfs(&quota, &read(dir.join("cpu.cfs_period_us"))?)
        });
        unified.chain(old).min_by(f64::total_cmp)
    }

    fn with_quota(&self) -> Vec<PathBuf> {
        let limited = |dir: &&PathBuf| {
            let unified = read(dir.join("cpu.max")).and_then(|text| cpu_max(&text));
            let old = || {
                let quota = read(dir.join("cpu.cfs_quota_us"))?;
                cpu_cfs(&quota, &read(dir.join("cpu.cfs_period_us"))?)
            };
            unified.or_else(old).is_some()
        };
        let dirs = self.unified.iter().chain(&self.cpu).filter(limited);
        dirs.map(|dir| dir.join("cpu.stat")).collect()
    }

    fn cpu_stat(&self) -> Option<String> {
        self.unified
            .iter()
            .chain(&self.cpu)
            .find_map(|dir| read(dir.join("cpu.stat")).filter(|text| text.contains("nr_throttled")))
    }
}

fn limits<'a, T>(
    dirs: &'a [PathBuf],
    file: &'a str,
    parse: fn(&str) -> Option<T>,
) -> impl Iterator<Item = T> + 'a
where
    T: 'a,
{
    dirs.iter().filter_map(move |dir| parse(&read(dir.join(file))?))
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Finds the directories from the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn groups(own: &str, mounts: &str) -> Groups {
    let mut groups = Groups::default();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if controllers.is_empty() {
            groups.unified = chain(mounts, "cgroup2", None, path);
        }
        for controller in controllers.split(',') {
            match controller {
                "memory" => groups.memory = chain(mounts, "cgroup", Some("memory"), path),
                "cpu" => groups.cpu = chain(mounts, "cgroup", Some("cpu"), path),
                _ => {}
            }
        }
    }
    groups
}

/// The group's directory under its mount point and all its ancestors.
fn chain(mounts: &str, kind: &str, controller: Option<&str>, path: &str) -> Vec<PathBuf> {
    let Some((root, mount)) = mounts.lines().find_map(|line| mount_point(line, kind, controller))
    else {
        return Vec::new();
    };
    // Inside a container the mount's root is the group itself: the path below it is what counts.
    let below = match Path::new(path).strip_prefix(root) {
        Ok(below) => below.to_owned(),
        Err(_) => PathBuf::new(),
    };
    let mut dirs = Vec::new();
    let mut below = below.as_path();
    loop {
        if !below.components().any(|part| part == std::path::Component::ParentDir) {
            dirs.push(Path::new(mount).join(below));
        }
        match below.parent() {
            Some(parent) => below = parent,
            None => return dirs,
        }
    }
}

/// Root and mount point of a line of mountinfo that mounts the wanted hierarchy.
fn mount_point<'a>(
    line: &'a str,
    kind: &str,
    controller: Option<&str>,
) -> Option<(&'a str, &'a str)> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, point) = (mount.next()?, mount.next()?);
    let mut filesystem = filesystem.split(' ');
    if filesystem.next()? != kind {
        return None;
    }
    let options = filesystem.nth(1).unwrap_or("");
    let right = controller.is_none_or(|wanted| options.split(',').any(|o| o == wanted));
    right.then_some((root, point))
}

#[cfg(test)]
mod tests;
