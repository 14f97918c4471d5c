//! The `dunlin` program as `server/src/main.rs` has it, but for the allocator: memory comes from the
//! sanitizer (`.ci/sanitize`), which watches every block.

fn main() -> std::process::ExitCode {
    dunlin::boot::main()
}
