//! What is asked of the operating system.

use std::ptr::NonNull;

/// Addresses are reserved for so many times the machine's memory: what is used at the same time fits
/// in any case, as every page can serve for every size.
const RESERVED_TIMES: usize = 4;
/// Even if the machine's memory is not known.
const RESERVED_LEAST: usize = 16 << 30;
/// A share of the address space that leaves room for everything else.
const RESERVED_MOST: usize = 16 << 40;

/// Bytes of addresses to reserve.
pub(super) fn room() -> usize {
    // SAFETY: asks for a figure.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    // SAFETY: as above.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let memory = usize::try_from(pages).unwrap_or(0) * usize::try_from(size).unwrap_or(0);
    (memory * RESERVED_TIMES).clamp(RESERVED_LEAST, RESERVED_MOST)
}

/// Addresses that nobody may touch yet, aligned to `align`, a power of two.
pub(super) fn reserve(bytes: usize, align: usize) -> Option<NonNull<u8>> {
    let base = mapping(bytes + align, libc::PROT_NONE)?;
    let before = base.as_ptr().align_offset(align);
    // SAFETY: there are `align` bytes more than asked for.
    let aligned = unsafe { base.add(before) };
    if before > 0 {
        // SAFETY: nobody knows the mapping yet.
        unsafe { unmap(base, before) };
    }
    // SAFETY: as above; `before` is less than `align`.
    let end = unsafe { aligned.add(bytes) };
    // SAFETY: as above.
    unsafe { unmap(end, align - before) };
    Some(aligned)
}

/// Zeros, which become resident as they are touched.
pub(crate) fn map(bytes: usize) -> Option<NonNull<u8>> {
    mapping(bytes, libc::PROT_READ | libc::PROT_WRITE)
}

fn mapping(bytes: usize, protection: libc::c_int) -> Option<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if base == libc::MAP_FAILED { None } else { NonNull::new(base.cast()) }
}

/// Makes reserved addresses accessible; false if the system has no memory for them.
///
/// # Safety
/// They are part of a reservation of the caller's.
pub(super) unsafe fn allow(base: NonNull<u8>, bytes: usize) -> bool {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: by the contract of this function.
    unsafe { libc::mprotect(base.as_ptr().cast(), bytes, access) == 0 }
}

/// Gives the memory behind addresses back. They stay accessible, and read as zeros.
///
/// # Safety
/// Nobody needs what is there.
pub(super) unsafe fn discard(base: NonNull<u8>, bytes: usize) {
    // It cannot fail for a private mapping that is not locked; then it would stay resident.
    // SAFETY: by the contract of this function.
    unsafe { libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_DONTNEED) };
}

/// # Safety
/// The caller has mapped these addresses, and nobody uses them any more.
pub(crate) unsafe fn unmap(base: NonNull<u8>, bytes: usize) {
    // SAFETY: by the contract of this function.
    unsafe { libc::munmap(base.as_ptr().cast(), bytes) };
}
