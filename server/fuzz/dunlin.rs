//! The `dunlin` program as `server/src/main.rs` has it, but for the allocator: memory comes from the
//! sanitizer (`.ci/sanitize`), which watches every block.

#[cfg(sanitize_thread)]
mod waits {
    include!(concat!(env!("OUT_DIR"), "/waits.rs"));
}

fn main() -> std::process::ExitCode {
    dunlin::boot::main()
}
