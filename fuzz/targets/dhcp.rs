//! Any bytes as a DHCP message of either family, in a frame that gets it to the server.
#![no_main]

use flow::Verdict;
use libfuzzer_sys::fuzz_target;
use sim::testing::{Frame, Payload, Town, key_of};
use sim::{Ingress, Packet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use topology::{Ipv6Mode, Object, Snapshot};
use wire::{Dhcp4Request, Mac};

static TOWN: LazyLock<(Town, Snapshot)> = LazyLock::new(|| {
    let mut town = Town::with_default_group();
    for object in &mut town.world.objects {
        if let Object::Subnet(subnet) = object {
            subnet.ipv6_mode = subnet.ipv6_mode.and(Some(Ipv6Mode::Dhcpv6Stateful));
            subnet.ipv6_address_mode = subnet.ipv6_mode;
        }
    }
    let snapshot = town.snapshot();
    (town, snapshot)
});

fuzz_target!(|data: &[u8]| {
    if data.len() > 1000 {
        return;
    }
    run(data);
    // behind a header that is right, so that the engine gets to the options
    let header = midonet_fuzz::discovery(&TOWN.0).message();
    run(&[&header[..240], data].concat());
});

fn run(message: &[u8]) {
    if let Some(request) = Dhcp4Request::read(message) {
        assert_eq!(Dhcp4Request::read(&request.message()), Some(request));
    }
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    ask(nobody, IpAddr::V4(Ipv4Addr::BROADCAST), (68, 67), message);
    let servers = IpAddr::from([0xff02, 0, 0, 0, 0, 0, 1, 2]);
    let link_local = IpAddr::V6(TOWN.0.a.mac.link_local());
    ask(link_local, servers, (546, 547), message);
}

fn ask(src: IpAddr, dst: IpAddr, ports: (u16, u16), message: &[u8]) {
    let (town, snapshot) = &*TOWN;
    let frame = Frame {
        smac: town.a.mac,
        dmac: Mac::BROADCAST,
        src,
        dst,
        ttl: 64,
        payload: Payload::Udp(ports.0, ports.1, message.to_vec()),
    };
    let frame = frame.bytes();
    let packet = Packet {
        key: key_of(&frame, 0),
        frame: &frame,
        gso_size: 0,
    };
    let decision = sim::simulate(snapshot, Ingress::Port(town.a.port), &packet);
    assert!(matches!(
        decision.verdict,
        Verdict::Answer(_) | Verdict::Refuse { .. }
    ));
}
