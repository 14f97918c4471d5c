//! Texts as systems write them, and this machine.

use super::*;

const V1: &str = "9:name=systemd:/\n4:memory:/a/b\n2:cpu,cpuacct:/a\n0::/\n";
const V1_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:3 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

fn paths(list: &[&str]) -> Vec<PathBuf> {
    list.iter().map(PathBuf::from).collect()
}

#[test]
fn first_generation_groups_and_their_ancestors() {
    let found = groups(V1, V1_MOUNTS);
    let memory = ["/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory/"];
    assert_eq!(found.memory, paths(&memory));
    assert_eq!(found.cpu, paths(&["/sys/fs/cgroup/cpu,cpuacct/a", "/sys/fs/cgroup/cpu,cpuacct/"]));
    assert_eq!(found.unified, paths(&["/sys/fs/cgroup/unified/"]));
}

#[test]
fn second_generation_groups() {
    let mount = "30 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw,nsdelegate\n";
    let found = groups("0::/kubepods/pod1/c\n", mount);
    let expected = [
        "/sys/fs/cgroup/kubepods/pod1/c",
        "/sys/fs/cgroup/kubepods/pod1",
        "/sys/fs/cgroup/kubepods",
        "/sys/fs/cgroup/",
    ];
    assert_eq!(found.unified, paths(&expected));
    // Inside a container without its own namespace the mount shows the group itself.
    let mount = "30 23 0:26 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    assert_eq!(groups("0::/docker/x\n", mount).unified, paths(&["/sys/fs/cgroup/"]));
    // A group outside the namespace's view cannot be followed.
    assert_eq!(groups("0::/../other\n", mount).unified, paths(&["/sys/fs/cgroup/"]));
    assert_eq!(groups("garbage\n", "garbage\n"), Groups::default());
}

#[test]
fn the_tightest_ancestor_counts() {
    let dir = std::env::temp_dir().join(format!("dunlin-cgroup-{}", std::process::id()));
    let inner = dir.join("a/b");
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("memory.max"), "max\n").unwrap();
    fs::write(dir.join("a/memory.max"), "1000\n").unwrap();
    fs::write(dir.join("memory.max"), "5000\n").unwrap();
    fs::write(inner.join("cpu.max"), "150000 100000\n").unwrap();
    fs::write(dir.join("a/cpu.max"), "max 100000\n").unwrap();
    fs::write(inner.join("cpu.stat"), "usage_usec 5\nnr_periods 9\nnr_throttled 7\n").unwrap();
    let unified = vec![inner, dir.join("a"), dir.clone()];
    let found = Groups { unified, ..Groups::default() };
    assert_eq!(found.memory_limit(), Some(1000));
    assert_eq!(found.cpu_quota(), Some(1.5));
    assert_eq!(found.cpu_stat().and_then(|text| nr_throttled(&text)), Some(7));
    let mut throttling = Throttling { files: found.with_quota(), seen: None };
    assert_eq!(throttling.files, [found.unified[0].join("cpu.stat")]);
    assert!(!throttling.has_risen(), "it has been before");
    fs::write(&throttling.files[0], "nr_periods 10\nnr_throttled 8\n").unwrap();
    assert!(throttling.has_risen());
    assert!(!throttling.has_risen());
    fs::remove_dir_all(dir).unwrap();
    assert_eq!(found.memory_limit(), None);
    assert_eq!(found.cpu_quota(), None);
}

#[test]
fn texts() {
    assert_eq!(mem_total("MemFree: 1 kB\nTotal:  8 kB\n"), None);
    assert_eq!(mem_total("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16_777_216));
    assert_eq!(memory_limit("max\n"), None);
    assert_eq!(memory_limit("9223372036854771712\n"), None, "first generation's infinity");
    assert_eq!(memory_limit("67108864\n"), Some(64 << 20));
    assert_eq!(cpu_max("max 100000\n"), None);
    assert_eq!(cpu_max("50000 100000\n"), Some(0.5));
    assert_eq!(cpu_cfs("-1\n", "100000\n"), None);
    assert_eq!(cpu_cfs("300000\n", "100000\n"), Some(3.0));
    assert_eq!(cpu_cfs("300000\n", "0\n"), None);
    assert_eq!(resident_pages("100 42 3 4 0 5 0\n"), Some(42));
    assert_eq!(nr_throttled("nr_periods 1\n"), None);
}

#[test]
fn workers_fit_the_quota() {
    let workers = |available, quota| Cpu { available, quota }.workers();
    assert_eq!(workers(8, None), 8);
    assert_eq!(workers(8, Some(0.5)), 1);
    assert_eq!(workers(8, Some(1.5)), 1);
    assert_eq!(workers(8, Some(2.0)), 2);
    assert_eq!(workers(2, Some(64.0)), 2);
    assert_eq!(workers(0, None), 1);
}

#[test]
fn clients_fit_the_descriptors() {
    let fds = |limit| Fds { limit };
    assert_eq!(fds(1024).max_clients(10_000), 992);
    assert_eq!(fds(20_000).max_clients(10_000), 10_000);
    assert_eq!(fds(8).max_clients(10_000), 1);
    assert_eq!(fds(u64::MAX).max_clients(u32::MAX), u32::MAX);
}

#[test]
fn memory_that_may_be_used() {
    let usable = |machine, limit| Memory { machine, limit }.usable();
    assert_eq!(usable(8, None), 8);
    assert_eq!(usable(8, Some(4)), 4);
    assert_eq!(usable(8, Some(16)), 8);
    assert_eq!(usable(0, Some(16)), 16);
}

#[test]
#[cfg(target_os = "linux")]
fn there_is_room_for_the_descriptors_of_all_clients() {
    let fds = raise_fd_limit();
    fds.make_room(1000);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
    assert!(size.trim().parse::<u64>().unwrap() >= fds.limit.min(1000), "{size}");
}

#[test]
fn this_machine_is_readable() {
    assert!(detect_memory().usable() > 1 << 20);
    assert!(resident() > 1 << 16);
    let raised = raise_fd_limit();
    let soft = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    assert_eq!(raised.limit, soft);
    let limits = Limits::detect(0, 10_000);
    assert!(limits.workers >= 1 && limits.maxclients >= 1);
    assert_eq!(Limits::detect(3, 10_000).workers, 3);
}
