//! The BPF file system, in which maps and links outlive the process that made them.

use std::{io, mem::zeroed};

const PATH: &std::ffi::CStr = c"/sys/fs/bpf";
/// How `statfs` tells it (linux/magic.h).
const MAGIC: i64 = 0xcafe_4a11;
const TYPE: &std::ffi::CStr = c"bpf";

/// Mounts the BPF file system at its usual place, unless it is there. Distributions do so at boot;
/// bare machines and containers do not.
pub fn mount_bpffs() -> io::Result<()> {
    // SAFETY: all zero is a valid statfs, which the call fills; the path ends in NUL.
    let (found, stat) = unsafe {
        let mut stat: libc::statfs = zeroed();
        (libc::statfs(PATH.as_ptr(), &raw mut stat), stat)
    };
    if found == 0 && stat.f_type == MAGIC {
        return Ok(());
    }
    // SAFETY: the strings end in NUL; this file system needs no data.
    let mounted = unsafe {
        libc::mount(
            TYPE.as_ptr(),
            PATH.as_ptr(),
            TYPE.as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    match mounted {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
