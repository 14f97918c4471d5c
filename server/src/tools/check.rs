//! `dunlin --check-config`: would a start with these sources succeed?
//!
//! Everything is read that a start reads, and judged by the same functions: the directives, the
//! users, protected mode, certificates and keys. Nothing is opened, bound, created or changed; what
//! only a start can find out, such as a port that is taken, is not looked for.

use crate::acl::Acl;
use crate::config::{Config, Settings, check_exposure};
use crate::runtime::announce;
use crate::runtime::container::Limits;
use crate::runtime::listen::NOWHERE;
use crate::tls::Tls;
use std::path::Path;
use std::process::ExitCode;

/// Prints what is wrong, or `ok`; `faults` were found while the sources were read.
pub(crate) fn run(config: &Config, mut faults: Vec<String>) -> ExitCode {
    let settings = config.settings();
    let limits = Limits::detect(settings.workers, settings.maxclients);
    for warning in config.warnings().iter().chain(&announce::warnings(&settings, &limits)) {
        eprintln!("warning: {warning}");
    }
    faults.extend(faults_of(config, &settings));
    for fault in &faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() {
        println!("ok");
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

/// What is wrong with settings that are each right for themselves.
fn faults_of(config: &Config, settings: &Settings) -> Vec<String> {
    let mut faults = Vec::new();
    match Acl::start(config) {
        Ok(acl) => faults.extend(check_exposure(settings, acl.default_is_open()).err()),
        Err(why) => faults.push(why),
    }
    faults.extend(Tls::default().load(&settings.tls).err().map(|why| format!("TLS: {why}")));
    if settings.port == 0 && settings.tls.port == 0 && settings.unixsocket.is_none() {
        faults.push(NOWHERE.to_owned());
    }
    let files = [
        ("unixsocket", &settings.unixsocket),
        ("logfile", &settings.logfile),
        ("pidfile", &settings.pidfile),
    ];
    for (name, path) in files {
        let homeless = path.as_deref().filter(|path| !has_home(path));
        faults.extend(homeless.map(|path| format!("{name}: no directory for {}", path.display())));
    }
    faults
}

fn has_home(path: &Path) -> bool {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.is_dir(),
        _ => true,
    }
}
