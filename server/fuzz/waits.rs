// What orders what in functions of the standard library that wait, told to ThreadSanitizer; see `build.rs`,
// which puts the names in. A word of a lock is what stands first in it.

use core::ffi::{c_int, c_void};
use std::sync::OnceState;
use std::time::Duration;

unsafe extern "C" {
    fn __tsan_acquire(word: *const c_void);
    fn __tsan_release(word: *const c_void);
    fn __real___tsan_atomic64_fetch_sub(word: *mut u64, value: u64, order: c_int) -> u64;
}

#[allow(improper_ctypes)]
unsafe extern "Rust" {
    #[link_name = "real lock"]
    fn real_lock(lock: *const c_void);
    #[link_name = "real read"]
    fn real_read(lock: *const c_void);
    #[link_name = "real write"]
    fn real_write(lock: *const c_void);
    #[link_name = "real wait"]
    fn real_wait(change: *const c_void, lock: *const c_void);
    #[link_name = "real wait_timeout"]
    fn real_wait_timeout(change: *const c_void, lock: *const c_void, time: Duration) -> bool;
    #[link_name = "real call"]
    fn real_call(
        once: *const c_void,
        poisoned: bool,
        run: &mut dyn FnMut(&OnceState),
        caller: *const c_void,
    );
}

/// # Safety
/// Called as the function of the standard library whose name it has.
#[unsafe(export_name = "lock")]
unsafe fn lock(lock: *const c_void) {
    // SAFETY: with the caller's arguments.
    unsafe { real_lock(lock) };
    // SAFETY: any address may be told.
    unsafe { __tsan_acquire(lock) };
}

/// # Safety
/// Called as the function of the standard library whose name it has.
#[unsafe(export_name = "read")]
unsafe fn read(lock: *const c_void) {
    // SAFETY: with the caller's arguments.
    unsafe { real_read(lock) };
    // SAFETY: any address may be told.
    unsafe { __tsan_acquire(lock) };
}

/// # Safety
/// Called as the function of the standard library whose name it has.
#[unsafe(export_name = "write")]
unsafe fn write(lock: *const c_void) {
    // SAFETY: with the caller's arguments.
    unsafe { real_write(lock) };
    // SAFETY: any address may be told.
    unsafe { __tsan_acquire(lock) };
}

/// # Safety
/// Called as the function of the standard library whose name it has.
#[unsafe(export_name = "wait")]
unsafe fn wait(change: *const c_void, lock: *const c_void) {
    // SAFETY: any address may be told.
    unsafe { __tsan_release(lock) };
    // SAFETY: with the caller's arguments.
    unsafe { real_wait(change, lock) };
    // SAFETY: any address may be told.
    unsafe { __tsan_acquire(lock) };
}

/// # Safety
/// Called as the function of the standard library whose name it has.
#[unsafe(export_name = "wait_timeout")]
unsafe fn wait_timeout(change: *const c_void, lock: *const c_void, time: Duration) -> bool {
    // SAFETY: any address may be told.
    unsafe { __tsan_release(lock) };
    // SAFETY: with the caller's arguments.
    let notified = unsafe { real_wait_timeout(change, lock, time) };
    // SAFETY: any address may be told.
    unsafe { __tsan_acquire(lock) };
    notified
}

/// # Safety
/// Called as the function of the standard library whose name it has.
#[unsafe(export_name = "call")]
unsafe fn call(
    once: *const c_void,
    poisoned: bool,
    run: &mut dyn FnMut(&OnceState),
    caller: *const c_void,
) {
    let mut run = |state: &OnceState| {
        run(state);
        // SAFETY: any address may be told.
        unsafe { __tsan_release(once) };
    };
    // SAFETY: with the caller's arguments.
    unsafe { real_call(once, poisoned, &mut run, caller) };
    // SAFETY: any address may be told.
    unsafe { __tsan_acquire(once) };
}

/// The last owner of an `Arc` gives up its part with `Release`, and a fence follows, which ThreadSanitizer
/// does not understand. So `Release` here is `AcqRel`.
///
/// # Safety
/// Called as the function of the sanitizer whose name it has.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap___tsan_atomic64_fetch_sub(
    word: *mut u64,
    value: u64,
    order: c_int,
) -> u64 {
    const RELEASE: c_int = 3;
    const ACQ_REL: c_int = 4;
    let order = if order == RELEASE { ACQ_REL } else { order };
    // SAFETY: with the caller's arguments.
    unsafe { __real___tsan_atomic64_fetch_sub(word, value, order) }
}
