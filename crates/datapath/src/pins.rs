//! Map types as the loader wants them, and pinned objects on the bpffs.

use crate::KernelMaps;
use aya::{Pod, maps::MapInfo};
use bpf_abi::{
    Action, Config, Conn, ConnKey, DecisionKey, DropCount, DropKey, Fragment, FragmentKey, Limit,
    LimitKey, Mapping, MappingKey, Mask, Pool, Port, Subport, Tunnel,
};
use std::{ffi::CString, io, mem::MaybeUninit, os::unix::ffi::OsStrExt, path::Path};

/// A map key or value: plain words and bytes without padding.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Raw<T>(pub T);

/// Wraps a key or value.
pub(crate) fn raw<T>(value: T) -> Raw<T> {
    Raw(value)
}

macro_rules! pod {
    ($($name:ident),*) => {$(
        // SAFETY: `repr(C)`, integers and byte arrays only, and no padding: the ABI test compares
        // each field's offset and the size with the C declaration, whose fields fill it.
        unsafe impl Pod for Raw<$name> {}
    )*};
}

pod!(
    Action,
    Config,
    Conn,
    ConnKey,
    DecisionKey,
    DropCount,
    DropKey,
    Limit,
    LimitKey,
    Mapping,
    MappingKey,
    Mask,
    Pool,
    Port,
    Subport,
    Tunnel
);

/// Names, key sizes and value sizes of the pinned maps.
const LAYOUT: &[(&str, usize, usize)] = &[
    ("CONNS", size_of::<ConnKey>(), size_of::<Conn>()),
    ("MASKS", 4, size_of::<Mask>()),
    ("DECISIONS", size_of::<DecisionKey>(), 4),
    ("ACTIONS", 4, size_of::<Action>()),
    ("PORTS", 4, size_of::<Port>()),
    ("SUBPORTS", 4, size_of::<Subport>()),
    ("TAGS", size_of::<Subport>(), 4),
    ("CLASSES", size_of::<LimitKey>(), 4),
    ("LIMITS", size_of::<LimitKey>(), size_of::<Limit>()),
    ("TUNNELS", 4, size_of::<Tunnel>()),
    ("PEERS", 16, 4),
    ("POOLS", 4, size_of::<Pool>()),
    ("MAPPINGS", size_of::<MappingKey>(), size_of::<Mapping>()),
    ("FRAGMENTS", size_of::<FragmentKey>(), size_of::<Fragment>()),
    ("DROPS", size_of::<DropKey>(), size_of::<DropCount>()),
    ("UPCALLS", 0, 0),
    ("CONFIG", 4, size_of::<Config>()),
];

/// Whether this path is on a bpffs.
pub(crate) fn on_bpffs(path: &Path) -> io::Result<bool> {
    const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `name` ends in NUL and `stat` is as large as the kernel writes.
    if unsafe { libc::statfs(name.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: statfs succeeded and has filled it.
    Ok(unsafe { stat.assume_init() }.f_type == BPF_FS_MAGIC)
}

/// Whether the maps pinned here, if any, are the ones this program would make itself.
pub(crate) fn maps_fit(pin_dir: &Path, connections: u32) -> bool {
    let fits = |(name, key, value): &(&str, usize, usize)| {
        MapInfo::from_pin(pin_dir.join(name)).is_ok_and(|info| {
            let size_fits = *name != "CONNS" || info.max_entries() == connections;
            size_fits && info.key_size() as usize == *key && info.value_size() as usize == *value
        })
    };
    let abi = || {
        KernelMaps::open(pin_dir)
            .and_then(|m| m.config())
            .map(|c| c.abi)
    };
    LAYOUT.iter().all(fits) && abi().is_ok_and(|abi| abi == bpf_abi::ABI)
}

/// Unpins all maps, so that the next load makes new ones. Programs that use the old ones keep them.
pub(crate) fn unpin_maps(pin_dir: &Path) -> io::Result<()> {
    LAYOUT
        .iter()
        .try_for_each(|(name, ..)| remove_pin(&pin_dir.join(name)))
}

/// Removes a pin; absent is fine.
pub(crate) fn remove_pin(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
