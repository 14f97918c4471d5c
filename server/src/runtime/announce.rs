//! What the server says about itself when it starts: the limits it will really work with.

use super::container::{Limits, RESERVED_FDS};
use crate::config::{Settings, is_loopback};

/// One line with the effective limits; `auth`: connections have to log in.
#[must_use]
pub fn start_line(settings: &Settings, limits: &Limits, auth: bool) -> String {
    let memory = |n: u64| if n == 0 { "none".to_owned() } else { human(n) };
    let quota = limits.cpu.quota.map_or("none".to_owned(), |cpus| format!("{cpus:.2}"));
    let unix = settings.unixsocket.as_ref().map_or("none".to_owned(), |p| p.display().to_string());
    let number = |port: u16| if port == 0 { "none".to_owned() } else { port.to_string() };
    let (port, tls_port) = (number(settings.port), number(settings.tls.port));
    let admin = number(settings.admin_port);
    format!(
        "dunlin {} pid={} maxmemory={} policy={} machine-memory={} container-limit={} \
         client-memory={} workers={} cpus={} cpu-quota={quota} fds={} maxclients={} bind=\"{}\" \
         port={port} tls-port={tls_port} admin-port={admin} unixsocket={unix} auth={} protected-mode={}",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        memory(settings.maxmemory),
        settings.maxmemory_policy.name(),
        memory(limits.memory.machine),
        memory(limits.memory.limit.unwrap_or(0)),
        memory(settings.maxmemory_clients),
        limits.workers,
        limits.cpu.available,
        limits.fds.limit,
        limits.maxclients,
        settings.bind.join(" "),
        yes_no(auth),
        yes_no(settings.protected_mode),
    )
}

/// Settings that cannot hold on this machine, one line each.
#[must_use]
pub fn warnings(settings: &Settings, limits: &Limits) -> Vec<String> {
    let mut lines = Vec::new();
    if limits.maxclients < settings.maxclients {
        lines.push(format!(
            "maxclients {} lowered to {}: the limit of open files is {}, of which {RESERVED_FDS} \
             are reserved",
            settings.maxclients, limits.maxclients, limits.fds.limit
        ));
    }
    let usable = limits.memory.usable();
    if usable != 0 && settings.maxmemory.saturating_add(settings.maxmemory_clients) > usable {
        lines.push(format!(
            "maxmemory {} and maxmemory-clients {} together exceed the {} this process may use",
            human(settings.maxmemory),
            human(settings.maxmemory_clients),
            human(usable)
        ));
    }
    if settings.maxmemory == 0 {
        lines.push("maxmemory 0: the store may grow until the system ends the process".into());
    }
    let is_open = |address: &&String| !is_loopback(address);
    if settings.admin_port != 0
        && let Some(open) = settings.admin_bind.iter().find(is_open)
    {
        lines.push(format!(
            "admin-bind {open}: everybody who reaches port {} sees figures, clients and names of \
             keys without a password",
            settings.admin_port
        ));
    }
    if usize::try_from(settings.workers).is_ok_and(|wanted| wanted > limits.cpu.workers()) {
        lines.push(format!(
            "workers {} is more than the {} this process has CPU time for",
            settings.workers,
            limits.cpu.workers()
        ));
    }
    lines
}

fn yes_no(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

/// `1536` as `1.50K`.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let unit = usize::try_from((bytes.ilog2() / 10).saturating_sub(1)).unwrap_or(0);
    let whole = (u128::from(bytes) * 100) >> (10 * (unit + 1));
    format!("{}.{:02}{}", whole / 100, whole % 100, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::container::{Cpu, Fds, Memory};

    fn limits() -> Limits {
        Limits {
            memory: Memory { machine: 8 << 30, limit: Some(1 << 30) },
            cpu: Cpu { available: 4, quota: Some(1.5) },
            fds: Fds { limit: 1024 },
            workers: 1,
            maxclients: 992,
        }
    }

    #[test]
    fn the_line_names_every_limit() {
        let mut settings = Settings::defaults(1 << 30);
        settings.requirepass = b"geheim".to_vec();
        let line = start_line(&settings, &limits(), true);
        for part in [
            "maxmemory=716.79M",
            "policy=allkeys-auto",
            "machine-memory=8.00G",
            "container-limit=1.00G",
            "workers=1",
            "cpu-quota=1.50",
            "fds=1024",
            "maxclients=992",
            "bind=\"127.0.0.1 -::1\"",
            "port=6379",
            "tls-port=none",
            "admin-port=none",
            "unixsocket=none",
            "auth=yes",
        ] {
            assert!(line.contains(part), "{part} is missing in {line}");
        }
        assert!(!line.contains("geheim"));
        assert!(!line.contains('\n'));
    }

    #[test]
    fn warns_of_what_cannot_hold() {
        let mut settings = Settings::defaults(1 << 30);
        let found = warnings(&settings, &limits());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("maxclients 10000 lowered to 992"), "{found:?}");
        settings.maxclients = 100;
        settings.maxmemory = 1 << 30;
        settings.workers = 2;
        assert_eq!(warnings(&settings, &limits()).len(), 2);
        settings.admin_port = 9121;
        assert_eq!(warnings(&settings, &limits()).len(), 2, "on loopback");
        settings.admin_bind.push("0.0.0.0".into());
        assert!(warnings(&settings, &limits()).iter().any(|line| line.starts_with("admin-bind 0")));
        settings.admin_port = 0;
        settings.maxmemory = 0;
        settings.workers = 1;
        let found = warnings(&settings, &limits());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("maxmemory 0"));
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1536), "1.50K");
        assert_eq!(human(u64::MAX), "15.99E");
    }
}
