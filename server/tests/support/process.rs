//! Starting, watching and stopping server processes.

use super::client::Client;
use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take to answer its first PING.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    host: Ipv4Addr,
    port: u16,
    /// What it is, for messages.
    pub name: &'static str,
    dir: PathBuf,
}

/// A directory of its own for every server started by a test.
pub fn scratch_dir(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("dunlin-{name}-{}-{number}", std::process::id()));
    fs::create_dir_all(&dir).expect("the temporary directory takes files");
    dir
}

/// A port below the range the kernel gives to outgoing connections, so that no client of a test
/// that runs at the same time can take it between this check and the server's bind.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let base = std::process::id().wrapping_mul(97);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 11_000 + (base.wrapping_add(step) % 20_000) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Whether this machine has the reference; says so once when not.
pub fn redis_server() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|d| d.join("redis-server")).find(|p| p.is_file());
    if found.is_none() {
        let required = std::env::var_os("DUNLIN_REQUIRE_PEERS").is_some();
        assert!(!required, "redis-server is not on the PATH");
        println!("skipped: redis-server not found");
    }
    found
}

/// Whether the tests run against the reference instead of dunlin.
pub fn against_reference() -> bool {
    std::env::var("DUNLIN_TESTS_AGAINST").is_ok_and(|v| v == "redis")
}

/// Waits until the condition holds; false when it does not within the limit.
pub fn eventually(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Server {
    /// Starts dunlin on a free port of the loopback interface with these further arguments. With
    /// `DUNLIN_TESTS_AGAINST=redis` the reference, to check what a test expects.
    pub fn dunlin(args: &[&str]) -> Self {
        if against_reference() {
            return Self::redis(args).expect("redis-server is on the PATH");
        }
        let dir = scratch_dir("dunlin");
        let program = Path::new(env!("CARGO_BIN_EXE_dunlin"));
        let port = free_port();
        Self::ready(Self::dunlin_command(program, port, args), "dunlin", port, dir, Self::answers)
    }

    /// As [`Server::dunlin`], but however busy the machine is, it refuses nothing: for comparisons.
    pub fn dunlin_unhurried(args: &[&str]) -> Self {
        if against_reference() {
            return Self::dunlin(args);
        }
        Self::dunlin(&[&["--overload-control", "no"], args].concat())
    }

    /// Starts dunlin with a command line that makes it listen on this port of that address.
    pub fn dunlin_at(host: Ipv4Addr, port: u16, command: Command) -> Self {
        Self::ready_at(command, "dunlin", (host, port), scratch_dir("dunlin"), Self::answers)
    }

    /// Starts dunlin with a limit of open files.
    pub fn dunlin_with_descriptors(limit: u32, args: &[&str]) -> Self {
        let (port, dir) = (free_port(), scratch_dir("dunlin"));
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_dunlin"))
            .args(["--port", &port.to_string()])
            .args(args);
        Self::ready(command, "dunlin", port, dir, Self::answers)
    }

    /// Starts dunlin without a plain TCP port; it is ready when `answers` says so.
    pub fn dunlin_without_port(args: &[&str], answers: impl Fn(&Server) -> bool) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_dunlin"));
        let command = Self::dunlin_command(program, 0, args);
        Self::ready(command, "dunlin", 0, scratch_dir("dunlin"), answers)
    }

    /// Starts dunlin with a configuration file.
    pub fn dunlin_with_file(file: &str) -> Self {
        let dir = scratch_dir("dunlin");
        let port = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        command.arg(file).args(["--port", &port.to_string()]);
        Self::ready(command, "dunlin", port, dir, Self::answers)
    }

    /// Starts dunlin from a shell that has run `first`, which limits it in some way.
    pub fn dunlin_after(first: &str, args: &[&str]) -> Self {
        let port = free_port();
        let mut command = Command::new("sh");
        let line = format!("{first}; exec \"$@\"");
        command.args(["-c", &line, "sh", env!("CARGO_BIN_EXE_dunlin")]);
        command.args(["--port", &port.to_string()]).args(args);
        Self::ready(command, "dunlin", port, scratch_dir("dunlin"), Self::answers)
    }

    /// The command line of dunlin on a port, not yet started.
    pub fn dunlin_command(program: &Path, port: u16, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(["--port", &port.to_string()]).args(args);
        command
    }

    /// Starts the reference on a free port, if this machine has it.
    pub fn redis(args: &[&str]) -> Option<Self> {
        let dir = scratch_dir("redis");
        let port = free_port();
        let mut command = Command::new(redis_server()?);
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "no"])
            .args(args);
        Some(Self::ready(command, "redis-server", port, dir, Self::answers))
    }

    fn ready(
        command: Command,
        name: &'static str,
        port: u16,
        dir: PathBuf,
        answers: impl Fn(&Server) -> bool,
    ) -> Self {
        Self::ready_at(command, name, (Ipv4Addr::LOCALHOST, port), dir, answers)
    }

    fn ready_at(
        mut command: Command,
        name: &'static str,
        (host, port): (Ipv4Addr, u16),
        dir: PathBuf,
        answers: impl Fn(&Server) -> bool,
    ) -> Self {
        let log = fs::File::create(dir.join("log")).expect("the log file can be created");
        let errors = log.try_clone().expect("the log file can be shared");
        command.current_dir(&dir).stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        let mut server = Server { child, host, port, name, dir };
        let end = Instant::now() + START_LIMIT;
        loop {
            if let Ok(Some(status)) = server.child.try_wait() {
                panic!("{name} ended at once: {status}\n{}", server.log());
            }
            if answers(&server) {
                return server;
            }
            assert!(Instant::now() < end, "{name} is not ready:\n{}", server.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether a new connection gets any reply to PING.
    pub fn answers(&self) -> bool {
        let Ok(mut client) = Client::tcp(self.address()) else {
            return false;
        };
        client.set_patience(Duration::from_secs(5));
        client.try_send(b"PING\r\n").is_ok() && client.try_recv().is_ok()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.host, self.port))
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory it was started in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = fs::File::open(self.dir.join("log")) {
            let _ = file.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// A new connection.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::tcp(self.address()).unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    /// A new connection that speaks RESP3.
    #[track_caller]
    pub fn client3(&self) -> Client {
        let mut client = self.client();
        let hello = client.run("HELLO 3");
        assert!(!hello.is_error(), "{hello:?}");
        client
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name (TERM, INT, KILL).
    pub fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &line]).status();
        assert!(status.is_ok_and(|s| s.success()), "{line}");
    }

    /// Makes it stand still, until SIGCONT. No thread of it runs any more: the signal takes a moment.
    pub fn stop(&self) {
        self.signal("STOP");
        let is_stopped = || {
            let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it is there");
            tasks.flatten().all(|task| {
                let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
            })
        };
        assert!(eventually(START_LIMIT, is_stopped), "{} does not stop", self.name);
    }

    /// Waits for the process to end.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let mut status = None;
        eventually(limit, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        status
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory in bytes.
    pub fn rss(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let text = fs::read_to_string(path).expect("the process runs");
        let line = text.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS is there");
        let kb: u64 =
            line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
        kb * 1024
    }

    /// Open file descriptors.
    pub fn fds(&self) -> usize {
        self.descriptors().len()
    }

    /// The numbers of the open file descriptors.
    pub fn descriptors(&self) -> Vec<u32> {
        let dir = fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the process runs");
        let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        dir.filter_map(|entry| number(entry.ok()?)).collect()
    }

    /// Processor time used so far, user and system.
    pub fn cpu(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.pid());
        let text = fs::read_to_string(path).expect("the process runs");
        let rest = text.rsplit(')').next().expect("a name in brackets");
        let fields: Vec<u64> = rest.split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
        // Clock ticks are 10 ms on every Linux that Rust runs on.
        Duration::from_millis((fields[11] + fields[12]) * 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            eprintln!("last lines of {}:", self.name);
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
        if let Some(kept) = std::env::var_os("DUNLIN_KEEP_LOGS") {
            let name = format!("{}-{}", self.port, self.pid());
            let _ = fs::copy(self.dir.join("log"), Path::new(&kept).join(name));
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}
