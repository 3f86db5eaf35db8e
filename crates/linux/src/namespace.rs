//! A network namespace of our own, without a name.

use crate::netns::enter;
use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    thread,
};

/// A network namespace that lives as long as this value, or as a socket that was made in it. Links
/// that are in it go with it, and so nothing is left behind by a process that dies.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Makes an empty one.
    pub fn new() -> io::Result<Self> {
        on_a_thread(|| {
            // SAFETY: a system call without pointers; it changes the calling thread only.
            match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
                0 => File::open("/proc/thread-self/ns/net").map(Self),
                _ => Err(io::Error::last_os_error()),
            }
        })
    }

    /// Runs `work` on a thread of its own inside. Sockets that it makes belong to the namespace
    /// wherever they are used later.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_a_thread(|| enter(&self.0).map(|()| work()))
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_empty_and_apart() {
        let namespace = Namespace::new().unwrap();
        let links = || std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        let inside = namespace.run(links).unwrap();
        assert!(inside.contains("lo:"), "{inside}");
        assert_eq!(inside.lines().count(), 3, "two lines of headings: {inside}");
    }
}
