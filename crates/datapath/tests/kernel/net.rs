//! Network namespaces without names: they go when the test goes.

use std::{
    fs::File,
    net::IpAddr,
    os::fd::{AsRawFd, OwnedFd},
    process::Command,
    thread,
};

/// A network namespace.
pub struct Net(OwnedFd);

impl Net {
    /// A new one with loopback up.
    pub fn new() -> Self {
        let made = thread::spawn(|| {
            // SAFETY: no pointers; only this thread moves.
            let alone = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(alone, 0, "needs root");
            let file = File::open("/proc/thread-self/ns/net").unwrap();
            OwnedFd::from(file)
        });
        let net = Net(made.join().unwrap());
        net.ip("link set lo up");
        net
    }

    /// Runs something inside.
    pub fn enter<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                // SAFETY: no pointers; only this thread moves.
                let moved = unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(moved, 0);
                run()
            });
            inside.join().unwrap()
        })
    }

    /// Runs `ip` with these words.
    pub fn ip(&self, words: &str) {
        self.run(&format!("ip {words}"));
    }

    /// Runs a command, which must succeed.
    pub fn run(&self, words: &str) {
        let mut words = words.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        let output = self.enter(|| command.args(words).output().unwrap());
        let error = String::from_utf8_lossy(&output.stderr);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command:?}: {error}{text}");
    }

    /// What other commands call this namespace.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Number of an interface.
    pub fn index(&self, name: &str) -> u32 {
        let name = std::ffi::CString::new(name).unwrap();
        // SAFETY: `name` ends in NUL.
        self.enter(|| unsafe { libc::if_nametoindex(name.as_ptr()) })
    }

    /// Makes this namespace a VM of `host`, plugged in there as `tap`.
    pub fn plug(&self, host: &Net, tap: &str, mac: [u8; 6], addresses: &[&str]) {
        let [a, b, c, d, e, f] = mac;
        let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        let vm = self.path();
        host.ip(&format!(
            "link add {tap} type veth peer name eth0 address {mac} netns {vm}"
        ));
        host.ip(&format!("link set {tap} up"));
        for address in addresses {
            let prefix = if address.contains(':') {
                "64 nodad"
            } else {
                "24"
            };
            self.ip(&format!("address add {address}/{prefix} dev eth0"));
        }
        self.ip("link set eth0 mtu 1450 up");
    }

    /// Tells a VM a neighbour's MAC.
    pub fn knows(&self, address: &str, mac: [u8; 6]) {
        let [a, b, c, d, e, f] = mac;
        self.ip(&format!(
            "neigh replace {address} lladdr {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} dev eth0"
        ));
    }

    /// Sends three pings and wants an answer to each.
    pub fn ping(&self, to: &str, size: usize) {
        let _: IpAddr = to.parse().unwrap();
        self.run(&format!("ping -c 3 -i 0.2 -W 2 -s {size} -M dont {to}"));
    }
}
