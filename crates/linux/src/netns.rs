//! Work inside another network namespace.

use std::{fs::File, io, os::fd::AsRawFd, path::Path, thread};

/// A namespace could not be entered.
#[derive(Debug, thiserror::Error)]
#[error("network namespace {name}: {error}")]
pub struct NamespaceError {
    /// Name as in `ip netns`.
    pub name: String,
    /// Why.
    #[source]
    pub error: io::Error,
}

/// Runs `work` on a thread of its own inside the namespace `name` (as `ip netns` names it).
///
/// Only the network namespace changes: unlike with `ip netns exec`, `/sys` and pinned eBPF objects
/// stay in sight. Sockets that `work` makes belong to the namespace wherever they are used later.
pub fn in_namespace<T: Send>(
    name: &str,
    work: impl FnOnce() -> T + Send,
) -> Result<T, NamespaceError> {
    let failed = |error| NamespaceError {
        name: name.to_owned(),
        error,
    };
    let file = File::open(Path::new("/run/netns").join(name)).map_err(failed)?;
    thread::scope(|scope| {
        let entered = scope.spawn(|| enter(&file).map(|()| work()));
        match entered.join() {
            Ok(result) => result.map_err(failed),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Moves the calling thread into the namespace of an open file.
pub(crate) fn enter(namespace: &File) -> io::Result<()> {
    // SAFETY: setns takes a descriptor, which `namespace` keeps open, and a flag; it changes the
    // calling thread only.
    let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_is_not_there_is_named_in_the_error() {
        let error = in_namespace("no-such-namespace", || ()).unwrap_err();
        assert!(error.to_string().contains("no-such-namespace"));
    }
}
