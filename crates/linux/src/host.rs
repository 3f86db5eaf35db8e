//! Facts about this host.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

/// The name this host calls itself.
pub fn host_name() -> io::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    Ok(name.trim_end().to_owned())
}

/// The address this host sends from when it sends to `remote`: what the routing table says.
/// Nothing is sent.
pub fn source_for(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}

/// Keeps the host itself off IPv6 on an interface of this thread's namespace (addresses it makes
/// itself, router solicitations), or makes the interface what a new one would be. A host without
/// IPv6 is fine.
pub fn keep_off_ipv6(interface: &str, off: bool) -> io::Result<()> {
    let conf = std::path::Path::new("/proc/sys/net/ipv6/conf");
    let set = || {
        let value = match off {
            true => "1".to_owned(),
            false => std::fs::read_to_string(conf.join("default/disable_ipv6"))?,
        };
        std::fs::write(conf.join(interface).join("disable_ipv6"), value.trim())
    };
    match set() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_reached_from_loopback() {
        assert_eq!(
            source_for("127.0.0.1:9".parse().unwrap()).unwrap(),
            Ipv4Addr::LOCALHOST
        );
        assert_eq!(
            source_for("[::1]:9".parse().unwrap()).unwrap(),
            Ipv6Addr::LOCALHOST
        );
    }
}
