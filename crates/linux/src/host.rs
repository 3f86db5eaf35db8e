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
