//! The DHCPv4 server, its answers read by another implementation.

use crate::{answered, reason, send};
use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder};
use flow::{DropReason, Verdict};
use sim::testing::{Frame, Payload, Town, World, mac};
use std::net::{IpAddr, Ipv4Addr};
use topology::{Family, HostRoute, Object, Subnet};
use wire::{Dhcp4Kind, Dhcp4Request, Mac};

fn ask(town: &Town, kind: Dhcp4Kind) -> Dhcp4Request {
    Dhcp4Request {
        kind,
        xid: 7,
        broadcast: false,
        client: Ipv4Addr::UNSPECIFIED,
        relay: Ipv4Addr::UNSPECIFIED,
        mac: town.a.mac,
        requested: None,
        server: None,
        identifier: vec![],
        wanted: vec![],
        message_max: None,
        ipxe: false,
    }
}

fn frame(town: &Town, request: &Dhcp4Request) -> Vec<u8> {
    frame_to(town, request, Ipv4Addr::BROADCAST, 68)
}

fn frame_to(town: &Town, request: &Dhcp4Request, dst: Ipv4Addr, sport: u16) -> Vec<u8> {
    Frame {
        smac: town.a.mac,
        dmac: match dst.is_broadcast() {
            true => Mac::BROADCAST,
            false => town.a.gateway,
        },
        src: IpAddr::V4(request.client),
        dst: IpAddr::V4(dst),
        ttl: 64,
        payload: Payload::Udp(sport, 67, request.message()),
    }
    .bytes()
}

fn verdict(town: &Town, request: &Dhcp4Request) -> Verdict {
    send(&town.snapshot(), town.a.port, &frame(town, request))
}

fn read(frame: &[u8]) -> Message {
    Message::decode(&mut Decoder::new(&frame[42..])).unwrap()
}

fn kind(frame: &[u8]) -> MessageType {
    read(frame).opts().msg_type().unwrap()
}

fn subnets(town: &mut Town) -> impl Iterator<Item = &mut Subnet> {
    town.world.objects.iter_mut().filter_map(|o| match o {
        Object::Subnet(subnet) if subnet.cidr.addr().is_ipv4() => Some(subnet),
        _ => None,
    })
}

#[test]
fn an_offer_has_the_usual_options() {
    // whatever the groups say: this one allows nothing
    let mut world = World::new();
    let group = world.group(true, vec![]);
    let town = Town::new(world, Some(&[group]));
    let answer = answered(verdict(&town, &ask(&town, Dhcp4Kind::Discover)));
    assert_eq!(
        (&answer[..6], &answer[6..12]),
        (&town.a.mac.0[..], &town.a.gateway.0[..])
    );
    assert_eq!(answer[26..34], [10, 0, 0, 1, 10, 0, 0, 10]);
    let message = read(&answer);
    assert_eq!(message.yiaddr(), Ipv4Addr::new(10, 0, 0, 10));
    assert_eq!(message.xid(), 7);
    let gateway = Ipv4Addr::new(10, 0, 0, 1);
    let wanted = [
        (
            OptionCode::MessageType,
            DhcpOption::MessageType(MessageType::Offer),
        ),
        (
            OptionCode::ServerIdentifier,
            DhcpOption::ServerIdentifier(gateway),
        ),
        (
            OptionCode::AddressLeaseTime,
            DhcpOption::AddressLeaseTime(86_400),
        ),
        (
            OptionCode::SubnetMask,
            DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
        ),
        (
            OptionCode::BroadcastAddr,
            DhcpOption::BroadcastAddr(Ipv4Addr::new(10, 0, 0, 255)),
        ),
        (OptionCode::InterfaceMtu, DhcpOption::InterfaceMtu(1450)),
        (OptionCode::Router, DhcpOption::Router(vec![gateway])),
        (
            OptionCode::DomainNameServer,
            DhcpOption::DomainNameServer(vec![[8, 8, 8, 8].into()]),
        ),
    ];
    for (code, option) in wanted {
        assert_eq!(message.opts().get(code), Some(&option));
    }
    assert_eq!(message.opts().get(OptionCode::ClasslessStaticRoute), None);
}

#[test]
fn host_routes_bring_the_default_route_along() {
    let mut town = Town::with_default_group();
    for subnet in subnets(&mut town) {
        let destination = "192.168.0.0/20".parse().unwrap();
        subnet.host_routes.push(HostRoute {
            destination,
            nexthop: crate::ip("10.0.0.5"),
        });
    }
    let message = read(&answered(verdict(&town, &ask(&town, Dhcp4Kind::Discover))));
    let routes = vec![
        (
            "192.168.0.0/20".parse().unwrap(),
            Ipv4Addr::new(10, 0, 0, 5),
        ),
        ("0.0.0.0/0".parse().unwrap(), Ipv4Addr::new(10, 0, 0, 1)),
    ];
    let wanted = DhcpOption::ClasslessStaticRoute(routes);
    assert_eq!(
        message.opts().get(OptionCode::ClasslessStaticRoute),
        Some(&wanted)
    );
}

#[test]
fn requests_in_every_state_of_a_client() {
    let town = Town::with_default_group();
    let (right, wrong) = (Ipv4Addr::new(10, 0, 0, 10), Ipv4Addr::new(10, 0, 0, 66));
    let (server, none) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::UNSPECIFIED);
    let cases = [
        (
            "selecting",
            Some(right),
            Some(server),
            none,
            Some(MessageType::Ack),
        ),
        (
            "selecting another server",
            Some(right),
            Some(wrong),
            none,
            None,
        ),
        ("rebooting", Some(right), None, none, Some(MessageType::Ack)),
        (
            "rebooting elsewhere",
            Some(wrong),
            None,
            none,
            Some(MessageType::Nak),
        ),
        ("renewing", None, None, right, Some(MessageType::Ack)),
    ];
    for (state, requested, server, client, wanted) in cases {
        let ask = Dhcp4Request {
            requested,
            server,
            client,
            ..ask(&town, Dhcp4Kind::Request)
        };
        let verdict = verdict(&town, &ask);
        match wanted {
            Some(wanted) => assert_eq!(kind(&answered(verdict)), wanted, "{state}"),
            None => assert_eq!(verdict, Verdict::Answer(vec![]), "{state}"),
        }
    }
}

#[test]
fn a_refusal_is_broadcast_and_says_nothing_else() {
    let town = Town::with_default_group();
    let wrong = Some(Ipv4Addr::new(10, 0, 0, 66));
    let ask = Dhcp4Request {
        requested: wrong,
        ..ask(&town, Dhcp4Kind::Request)
    };
    let frame = answered(verdict(&town, &ask));
    assert_eq!(frame[..6], [0xff; 6]);
    assert_eq!(read(&frame).yiaddr(), Ipv4Addr::UNSPECIFIED);
    assert_eq!(read(&frame).opts().get(OptionCode::AddressLeaseTime), None);
}

#[test]
fn inform_decline_and_release() {
    let town = Town::with_default_group();
    let client = Ipv4Addr::new(10, 0, 0, 10);
    let inform = Dhcp4Request {
        client,
        ..ask(&town, Dhcp4Kind::Inform)
    };
    let frame = answered(verdict(&town, &inform));
    assert_eq!(kind(&frame), MessageType::Ack);
    assert_eq!(read(&frame).yiaddr(), Ipv4Addr::UNSPECIFIED);
    assert_eq!(read(&frame).opts().get(OptionCode::AddressLeaseTime), None);
    for kind in [Dhcp4Kind::Decline, Dhcp4Kind::Release] {
        assert_eq!(verdict(&town, &ask(&town, kind)), Verdict::Answer(vec![]));
    }
}

#[test]
fn the_broadcast_flag_is_honoured() {
    let town = Town::with_default_group();
    let ask = Dhcp4Request {
        broadcast: true,
        ..ask(&town, Dhcp4Kind::Discover)
    };
    let frame = answered(verdict(&town, &ask));
    assert_eq!(frame[..6], [0xff; 6]);
    assert_eq!(frame[30..34], [0xff; 4]);
}

#[test]
fn relays_are_not_served_and_others_are_not_asked_for() {
    let town = Town::with_default_group();
    let relayed = Dhcp4Request {
        relay: [10, 0, 0, 9].into(),
        ..ask(&town, Dhcp4Kind::Discover)
    };
    assert_eq!(
        reason(&verdict(&town, &relayed)),
        Some(DropReason::DhcpRelayed)
    );
    let other = Dhcp4Request {
        mac: mac(99),
        ..ask(&town, Dhcp4Kind::Discover)
    };
    assert_eq!(
        reason(&verdict(&town, &other)),
        Some(DropReason::SpoofedMac)
    );
}

#[test]
fn without_dhcp_the_request_is_an_ordinary_broadcast() {
    let mut town = Town::new(World::new(), None);
    subnets(&mut town).for_each(|s| s.dhcp = false);
    let flood = Verdict::Flood {
        ports: vec![town.b.port],
    };
    assert_eq!(verdict(&town, &ask(&town, Dhcp4Kind::Discover)), flood);
}

#[test]
fn without_a_gateway_the_server_has_an_address_of_the_link() {
    let mut town = Town::with_default_group();
    subnets(&mut town).for_each(|s| s.gateway = None);
    let message = read(&answered(verdict(&town, &ask(&town, Dhcp4Kind::Discover))));
    let server = DhcpOption::ServerIdentifier(Ipv4Addr::new(169, 254, 0, 1));
    assert_eq!(
        message.opts().get(OptionCode::ServerIdentifier),
        Some(&server)
    );
    assert_eq!(message.opts().get(OptionCode::Router), None);
}

#[test]
fn rubbish_is_named() {
    let town = Town::with_default_group();
    let mut bytes = frame(&town, &ask(&town, Dhcp4Kind::Discover));
    bytes[42] = 9;
    let verdict = send(&town.snapshot(), town.a.port, &bytes);
    assert_eq!(reason(&verdict), Some(DropReason::Malformed));
}

#[test]
fn a_relay_of_a_vm_is_refused_and_its_own_server_is_left_alone() {
    let town = Town::with_default_group();
    let own = Ipv4Addr::new(10, 0, 0, 10);
    let relayed = Dhcp4Request {
        relay: own,
        client: own,
        ..ask(&town, Dhcp4Kind::Discover)
    };
    let to = |dst, sport| {
        let frame = frame_to(&town, &relayed, dst, sport);
        reason(&send(&town.snapshot(), town.a.port, &frame))
    };
    let gateway = Ipv4Addr::new(10, 0, 0, 1);
    for dst in [Ipv4Addr::BROADCAST, gateway] {
        assert_eq!(to(dst, 67), Some(DropReason::DhcpRelayed), "{dst}");
    }
    for sport in [67, 68] {
        let elsewhere = to(Ipv4Addr::new(10, 0, 0, 99), sport);
        assert_ne!(elsewhere, Some(DropReason::DhcpRelayed));
    }
}

#[test]
fn renewals_come_to_the_gateway_address() {
    let town = Town::with_default_group();
    let renewal = Dhcp4Request {
        client: [10, 0, 0, 10].into(),
        ..ask(&town, Dhcp4Kind::Request)
    };
    let frame = frame_to(&town, &renewal, Ipv4Addr::new(10, 0, 0, 1), 68);
    let answer = answered(send(&town.snapshot(), town.a.port, &frame));
    assert_eq!(kind(&answer), MessageType::Ack);
    assert_eq!(answer[30..34], [10, 0, 0, 10]);
}

fn with_options(options: &[(u16, &[u8])]) -> Town {
    let mut town = Town::with_default_group();
    let id = town.a.port;
    for object in &mut town.world.objects {
        if let Object::Port(port) = object
            && port.id == id
        {
            port.dhcp_options = options
                .iter()
                .map(|(code, data)| topology::DhcpOption {
                    family: Family::V4,
                    code: *code,
                    data: data.to_vec(),
                    ipxe: None,
                })
                .collect();
        }
    }
    town
}

#[test]
fn options_of_the_port_replace_those_of_the_subnet() {
    let town = with_options(&[
        (26, &[5, 0]),
        (3, &[]),
        (66, b"tftp.example.org"),
        (67, b"pxelinux.0"),
        (topology::DhcpOption::NEXT_SERVER, &[192, 0, 2, 9]),
        (224, &[1, 2]),
    ]);
    let message = read(&answered(verdict(&town, &ask(&town, Dhcp4Kind::Discover))));
    let option = |code| message.opts().get(code).cloned();
    assert_eq!(
        option(OptionCode::InterfaceMtu),
        Some(DhcpOption::InterfaceMtu(1280))
    );
    assert_eq!(option(OptionCode::Router), None, "given as nothing");
    let tftp = DhcpOption::TFTPServerName(b"tftp.example.org".to_vec());
    assert_eq!(option(OptionCode::TFTPServerName), Some(tftp));
    let file = DhcpOption::BootfileName(b"pxelinux.0".to_vec());
    assert_eq!(option(OptionCode::BootfileName), Some(file));
    assert_eq!(message.siaddr(), Ipv4Addr::new(192, 0, 2, 9));
    assert_eq!(message.fname(), Some(&b"pxelinux.0\0"[..]));
    let unknown = option(OptionCode::Unknown(224)).map(|o| format!("{o:?}"));
    assert!(unknown.is_some_and(|o| o.contains("[1, 2]")));
}

#[test]
fn a_boot_loader_gets_options_of_its_own() {
    let mut town = with_options(&[(67, b"script.ipxe"), (67, b"loader.efi")]);
    let own = [Some(true), Some(false)];
    for object in &mut town.world.objects {
        if let Object::Port(port) = object {
            let options = port.dhcp_options.iter_mut().zip(own);
            options.for_each(|(option, ipxe)| option.ipxe = ipxe);
        }
    }
    for (ipxe, wanted) in [(true, "script.ipxe"), (false, "loader.efi")] {
        let request = Dhcp4Request {
            ipxe,
            ..ask(&town, Dhcp4Kind::Discover)
        };
        let message = read(&answered(verdict(&town, &request)));
        let file = DhcpOption::BootfileName(wanted.into());
        assert_eq!(message.opts().get(OptionCode::BootfileName), Some(&file));
    }
}

#[test]
fn an_inform_is_not_told_of_lease_times() {
    let town = with_options(&[(51, &[0, 0, 0, 60]), (58, &[0, 0, 0, 30])]);
    let inform = Dhcp4Request {
        client: [10, 0, 0, 10].into(),
        ..ask(&town, Dhcp4Kind::Inform)
    };
    let told = |request| {
        let message = read(&answered(verdict(&town, &request)));
        let codes = [OptionCode::AddressLeaseTime, OptionCode::Renewal];
        codes.map(|code| message.opts().get(code).is_some())
    };
    assert_eq!(told(inform), [false, false]);
    assert_eq!(told(ask(&town, Dhcp4Kind::Discover)), [true, true]);
}

#[test]
fn the_client_identifier_is_given_back_and_windows_gets_its_routes() {
    let routes = [24, 192, 0, 2, 10, 0, 0, 5];
    let town = with_options(&[(121, &routes)]);
    let request = Dhcp4Request {
        identifier: vec![1, 7, 7],
        wanted: vec![249],
        ..ask(&town, Dhcp4Kind::Discover)
    };
    let message = read(&answered(verdict(&town, &request)));
    let identifier = DhcpOption::ClientIdentifier(vec![1, 7, 7]);
    assert_eq!(
        message.opts().get(OptionCode::ClientIdentifier),
        Some(&identifier)
    );
    let windows = message.opts().get(OptionCode::Unknown(249));
    let windows = windows.or_else(|| message.opts().get(OptionCode::from(249)));
    assert!(windows.is_some_and(|o| format!("{o:?}").contains("192")));
    let plain = read(&answered(verdict(&town, &ask(&town, Dhcp4Kind::Discover))));
    assert_eq!(plain.opts().get(OptionCode::from(249)), None);
}

#[test]
fn a_second_subnet_is_on_the_link_and_metadata_where_no_router_is() {
    let mut town = Town::with_default_group();
    subnets(&mut town).for_each(|s| s.gateway = None);
    let red = town.red;
    town.world.subnet(red, "10.7.0.0/16");
    let message = read(&answered(verdict(&town, &ask(&town, Dhcp4Kind::Discover))));
    let on_link = Ipv4Addr::UNSPECIFIED;
    let routes = vec![
        ("10.7.0.0/16".parse().unwrap(), on_link),
        ("169.254.169.254/32".parse().unwrap(), on_link),
    ];
    let wanted = DhcpOption::ClasslessStaticRoute(routes);
    assert_eq!(
        message.opts().get(OptionCode::ClasslessStaticRoute),
        Some(&wanted)
    );
}

#[test]
fn a_default_route_among_the_host_routes_is_the_gateway_of_a_subnet_without_one() {
    let mut town = Town::with_default_group();
    for subnet in subnets(&mut town) {
        subnet.gateway = None;
        subnet.host_routes.push(HostRoute {
            destination: "0.0.0.0/0".parse().unwrap(),
            nexthop: crate::ip("10.0.0.77"),
        });
    }
    let message = read(&answered(verdict(&town, &ask(&town, Dhcp4Kind::Discover))));
    let router = DhcpOption::Router(vec![[10, 0, 0, 77].into()]);
    assert_eq!(message.opts().get(OptionCode::Router), Some(&router));
    let Some(DhcpOption::ClasslessStaticRoute(routes)) =
        message.opts().get(OptionCode::ClasslessStaticRoute)
    else {
        panic!("no routes");
    };
    let default = ("0.0.0.0/0".parse().unwrap(), [10, 0, 0, 77].into());
    assert_eq!(routes.last(), Some(&default));
}
