//! For ThreadSanitizer: the standard library is not built for it, so what waiting for its locks orders is
//! not seen, nor what its fences do. Whoever calls these functions of it goes through `waits.rs`, which tells
//! the sanitizer. They are named as this compiler names them, which a probe says.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// A function's end of a name, and what it is called in `waits.rs`.
const FUNCTIONS: [(&str, &str); 6] = [
    ("5mutex5futexNtB2_5Mutex14lock_contended", "lock"),
    ("6rwlock5futexNtB2_6RwLock14read_contended", "read"),
    ("6rwlock5futexNtB2_6RwLock15write_contended", "write"),
    ("7condvar5futexNtB2_7Condvar4wait", "wait"),
    ("7condvar5futexNtB2_7Condvar12wait_timeout", "wait_timeout"),
    ("4once5futexNtB5_4Once4call", "call"),
];

const PROBE: &str = "fn main() {
    let (lock, other) = (std::sync::Mutex::new(0), std::sync::RwLock::new(0));
    let (change, once) = (std::sync::Condvar::new(), std::sync::Once::new());
    once.call_once(|| drop((other.read().unwrap(), lock.try_lock())));
    *other.write().unwrap() += 1;
    let guard = change.wait_timeout(lock.lock().unwrap(), std::time::Duration::ZERO).unwrap().0;
    drop(change.wait(guard));
}";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(sanitize_thread)");
    if !env::var("CARGO_CFG_SANITIZE").is_ok_and(|all| all.contains("thread")) {
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("OUT_DIR"));
    let names = names(&out);
    let mut text = fs::read_to_string("waits.rs").expect("waits.rs");
    println!("cargo:rerun-if-changed=waits.rs");
    for (end, short) in FUNCTIONS {
        let name = names.lines().filter_map(|line| line.split_whitespace().last());
        let name = name.filter(|name| name.ends_with(end)).next();
        let name = name.unwrap_or_else(|| panic!("the standard library has no {end}"));
        text = text.replace(&format!("\"{short}\""), &format!("\"__wrap_{name}\""));
        text = text.replace(&format!("\"real {short}\""), &format!("\"__real_{name}\""));
        println!("cargo:rustc-link-arg-bin=dunlin=-Wl,--wrap={name}");
    }
    println!("cargo:rustc-link-arg-bin=dunlin=-Wl,--wrap=__tsan_atomic64_fetch_sub");
    fs::write(out.join("waits.rs"), text).expect("waits.rs");
    println!("cargo:rustc-cfg=sanitize_thread");
}

/// The symbols of a program that uses all of them.
fn names(out: &Path) -> String {
    let (source, program) = (out.join("probe.rs"), out.join("probe"));
    fs::write(&source, PROBE).expect("a probe");
    let compiler = env::var_os("RUSTC").expect("RUSTC");
    let made = Command::new(compiler).arg(&source).arg("-o").arg(&program).status();
    assert!(made.is_ok_and(|status| status.success()), "the probe is not compiled");
    let listed = Command::new("nm").arg(&program).output().expect("nm");
    String::from_utf8(listed.stdout).expect("names")
}
