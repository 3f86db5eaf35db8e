//! VLANs for VMs: tags pushed and popped where the kernel has no 802.1Q devices.
//!
//! A VLAN of an interface is one end of a pair of devices. What comes in there gets the tag and goes
//! out of the interface; what comes in at the interface with the tag loses it and goes out there.
//! Two programs of the kernel do it. They are a few instructions each, written out below.

use crate::{LabError, Netns, error::Context};
use std::{
    ffi::CString,
    io,
    mem::size_of,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

/// Commands, types and attach points of bpf(2).
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_TCX_INGRESS: u32 = 46;

/// Helpers that programs call (`bpf-helpers(7)`), by number.
const SKB_VLAN_PUSH: u32 = 18;
const SKB_VLAN_POP: u32 = 19;
const REDIRECT: u32 = 23;

/// Offset of `vlan_tci` in `struct __sk_buff`, and its bits that are the VLAN id.
const VLAN_TCI: u16 = 24;
const VLAN_ID: u32 = 0x0fff;
/// Verdict of a program that leaves a frame to the next one.
const TCX_NEXT: u32 = u32::MAX;
/// EtherType of a tag, in the order of bytes that the helper wants.
const TAG: u16 = 0x8100_u16.to_be();

/// The programs of one VLAN; it ends with them.
#[derive(Debug)]
pub(crate) struct Tags {
    _links: [OwnedFd; 2],
}

impl Tags {
    /// Makes `device` the VLAN `id` of `interface`; both are in `netns`.
    pub(crate) fn attach(
        netns: &Netns,
        interface: &str,
        device: &str,
        id: u16,
    ) -> Result<Self, LabError> {
        let links = netns.enter(|| {
            let (outer, inner) = (index(interface)?, index(device)?);
            let pushing = attach(&push_and_send(id, outer), inner)?;
            Ok([pushing, attach(&pop_and_send(id, inner), outer)?])
        })?;
        let _links = links.what(|| format!("attaching VLAN {id} to {interface}"))?;
        Ok(Self { _links })
    }
}

/// Gives every frame the tag and sends it out of an interface.
fn push_and_send(id: u16, ifindex: u32) -> Vec<u64> {
    let mut program = vec![set(2, TAG.into()), set(3, id.into()), call(SKB_VLAN_PUSH)];
    program.extend(send(ifindex));
    program
}

/// Takes the tag off frames that have it and sends them out of an interface; leaves all others.
fn pop_and_send(id: u16, ifindex: u32) -> Vec<u64> {
    let found = send(ifindex);
    let after = u16::try_from(1 + found.len()).expect("a program is short");
    let mut program = vec![
        load_word(2, 1, VLAN_TCI),
        and(2, VLAN_ID),
        unless_equal(2, id.into(), after),
        call(SKB_VLAN_POP),
    ];
    program.extend(found);
    program.extend([set(0, TCX_NEXT), exit()]);
    program
}

fn send(ifindex: u32) -> [u64; 4] {
    [set(1, ifindex), set(2, 0), call(REDIRECT), exit()]
}

/// `dst = value`
fn set(dst: u8, value: u32) -> u64 {
    instruction(0xb7, dst, 0, 0, value)
}

/// `dst = *(u32 *)(src + offset)`
fn load_word(dst: u8, src: u8, offset: u16) -> u64 {
    instruction(0x61, dst, src, offset, 0)
}

/// `dst &= value`
fn and(dst: u8, value: u32) -> u64 {
    instruction(0x57, dst, 0, 0, value)
}

/// `if dst != value` skips as many instructions.
fn unless_equal(dst: u8, value: u32, skip: u16) -> u64 {
    instruction(0x55, dst, 0, skip, value)
}

/// `r0 = helper(r1, r2, ...)`
fn call(helper: u32) -> u64 {
    instruction(0x85, 0, 0, 0, helper)
}

/// `return r0`
fn exit() -> u64 {
    instruction(0x95, 0, 0, 0, 0)
}

/// `struct bpf_insn` of a little-endian machine.
fn instruction(code: u8, dst: u8, src: u8, offset: u16, value: u32) -> u64 {
    u64::from(code)
        | u64::from(dst | src << 4) << 8
        | u64::from(offset) << 16
        | u64::from(value) << 32
}

/// Start of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    /// Level, size and address of the verifier's log, and what follows up to `prog_flags`.
    log: [u64; 3],
}

/// Start of `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct Link {
    program: i32,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
}

fn attach(program: &[u64], ifindex: u32) -> io::Result<OwnedFd> {
    let load = Load {
        kind: BPF_PROG_TYPE_SCHED_CLS,
        count: u32::try_from(program.len()).expect("a program is short"),
        instructions: program.as_ptr() as u64,
        license: c"Dual BSD/GPL".as_ptr() as u64,
        log: [0; 3],
    };
    let loaded = bpf(BPF_PROG_LOAD, &load)?;
    let link = Link {
        program: loaded.as_raw_fd(),
        ifindex,
        attach_type: BPF_TCX_INGRESS,
        flags: 0,
    };
    bpf(BPF_LINK_CREATE, &link)
}

/// Makes one call whose answer is a file.
fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads as many bytes of the attributes as they have, and what they point to
    // lives as long as the caller's borrow of it.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    match libc::c_int::try_from(fd) {
        // SAFETY: the call made the file for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn index(interface: &str) -> io::Result<u32> {
    let name = CString::new(interface)?;
    // SAFETY: a C string that lives over the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}
