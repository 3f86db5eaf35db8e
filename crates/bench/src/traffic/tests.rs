//! Every client against a server on loopback.

use super::*;
use std::{
    net::{Ipv4Addr, TcpStream},
    thread,
    time::Instant,
};

/// A server on ports of its own; its threads end with the test process.
fn client(port: u16) -> Client {
    thread::spawn(move || server::run(port));
    let client = Client {
        server: Ipv4Addr::LOCALHOST.into(),
        port,
        seconds: 0.05,
        cpu: None,
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(client.counter()).is_err() {
        assert!(Instant::now() < deadline, "the server does not listen");
        thread::yield_now();
    }
    client
}

#[test]
fn requests_are_answered() {
    let outcome = requests::run(&client(27_000)).unwrap();
    assert!(outcome.count > 0 && outcome.rate > 0.0 && outcome.p99_us >= outcome.p50_us);
}

#[test]
fn connections_are_made_by_several_clients() {
    let outcome = connections::run(&client(27_010), 4).unwrap();
    assert!(outcome.count >= 4);
    assert_eq!(outcome.errors, 0);
}

#[test]
fn small_packets_are_counted_where_they_arrive() {
    let outcome = small_packets::run(&client(27_020), 18).unwrap();
    assert!(outcome.count > 0);
}

/// The flood's thread ends with the test process.
fn metered(protocol: Protocol, port: u16) -> Metered {
    let to = (Ipv4Addr::LOCALHOST, port).into();
    thread::spawn(move || match protocol {
        Protocol::Tcp => flood::tcp(to),
        Protocol::Udp => flood::udp(to, 1000, 100e6),
    });
    let (skip, during) = (Duration::ZERO, Duration::from_millis(200));
    flood::meter(protocol, port, skip, during).unwrap()
}

#[test]
fn a_flood_is_metered_as_bytes_in_order_and_as_packets() {
    let tcp = metered(Protocol::Tcp, 27_030);
    assert!(tcp.packets > 0 && tcp.count > tcp.packets);
    assert!(tcp.seconds >= 0.2);
    let udp = metered(Protocol::Udp, 27_031);
    assert!(udp.count > 0);
    assert!(udp.packets.abs_diff(udp.count) < 100, "{udp:?}");
}
