//! The DHCPv6 server, asked and read by another implementation.

use crate::{answered, reason, send};
use dhcproto::v6::{
    DhcpOption, DhcpOptions, IAAddr, IANA, Message, MessageType, OptionCode, Status, UnknownOption,
};
use dhcproto::{Decodable, Decoder, Encodable};
use flow::{DropReason, Verdict};
use sim::testing::{Frame, Payload, Town, World};
use std::net::{IpAddr, Ipv6Addr};
use topology::{Family, Ipv6Mode, Object};
use wire::Mac;

fn town(mode: Ipv6Mode) -> Town {
    let mut world = World::new();
    let group = world.group(true, vec![]);
    let mut town = Town::new(world, Some(&[group]));
    for object in &mut town.world.objects {
        if let Object::Subnet(subnet) = object
            && subnet.cidr.addr().is_ipv6()
        {
            (subnet.ipv6_mode, subnet.ipv6_address_mode) = (Some(mode), Some(mode));
        }
    }
    town
}

fn frame(town: &Town, message: Vec<u8>) -> Vec<u8> {
    let servers: Ipv6Addr = "ff02::1:2".parse().unwrap();
    Frame {
        smac: town.a.mac,
        dmac: Mac::for_ipv6_multicast(servers),
        src: IpAddr::V6(town.a.mac.link_local()),
        dst: IpAddr::V6(servers),
        ttl: 1,
        payload: Payload::Udp(546, 547, message),
    }
    .bytes()
}

fn ask(kind: MessageType, options: Vec<DhcpOption>) -> Message {
    let mut message = Message::new_with_id(kind, [1, 2, 3]);
    message
        .opts_mut()
        .insert(DhcpOption::ClientId(vec![0, 3, 0, 1, 9, 9]));
    options
        .into_iter()
        .for_each(|o| message.opts_mut().insert(o));
    message
}

fn wanted(address: Option<&str>) -> DhcpOption {
    let mut opts = DhcpOptions::new();
    if let Some(address) = address {
        opts.insert(DhcpOption::IAAddr(IAAddr {
            addr: address.parse().unwrap(),
            preferred_life: 0,
            valid_life: 0,
            opts: DhcpOptions::new(),
        }));
    }
    DhcpOption::IANA(IANA {
        id: 5,
        t1: 0,
        t2: 0,
        opts,
    })
}

fn exchange(town: &Town, message: &Message) -> Message {
    let bytes = frame(town, message.to_vec().unwrap());
    let answer = answered(send(&town.snapshot(), town.a.port, &bytes));
    assert_eq!(answer[..6], town.a.mac.0);
    let message = Message::decode(&mut Decoder::new(&answer[62..])).unwrap();
    assert_eq!(message.xid(), [1, 2, 3]);
    message
}

fn given(message: &Message) -> Vec<(Ipv6Addr, u32)> {
    let Some(DhcpOption::IANA(association)) = message.opts().get(OptionCode::IANA) else {
        return vec![];
    };
    assert_eq!(association.id, 5);
    let addresses = association.opts.iter().filter_map(|o| match o {
        DhcpOption::IAAddr(a) => Some((a.addr, a.valid_life)),
        _ => None,
    });
    addresses.collect()
}

#[test]
fn an_address_is_advertised_and_given() {
    let town = town(Ipv6Mode::Dhcpv6Stateful);
    let own: Ipv6Addr = "fd00::10".parse().unwrap();
    let advertise = exchange(&town, &ask(MessageType::Solicit, vec![wanted(None)]));
    assert_eq!(advertise.msg_type(), MessageType::Advertise);
    assert_eq!(given(&advertise), [(own, 86_400)]);
    let server = advertise.opts().get(OptionCode::ServerId).unwrap().clone();
    for kind in [
        MessageType::Request,
        MessageType::Renew,
        MessageType::Rebind,
    ] {
        let mut options = vec![wanted(Some("fd00::10"))];
        if kind != MessageType::Rebind {
            options.push(server.clone());
        }
        let reply = exchange(&town, &ask(kind, options));
        assert_eq!(reply.msg_type(), MessageType::Reply);
        assert_eq!(given(&reply), [(own, 86_400)]);
        let dns = DhcpOption::DomainNameServers(vec!["2001:4860:4860::8888".parse().unwrap()]);
        assert_eq!(reply.opts().get(OptionCode::DomainNameServers), Some(&dns));
    }
    let options = vec![server, wanted(Some("fd00::66"))];
    let reply = exchange(&town, &ask(MessageType::Renew, options));
    assert_eq!(
        given(&reply),
        [(own, 86_400), ("fd00::66".parse().unwrap(), 0)]
    );
}

#[test]
fn a_rapid_client_gets_its_reply_at_once() {
    let town = town(Ipv6Mode::Dhcpv6Stateful);
    let options = vec![DhcpOption::RapidCommit, wanted(None)];
    let reply = exchange(&town, &ask(MessageType::Solicit, options));
    assert_eq!(reply.msg_type(), MessageType::Reply);
    assert!(reply.opts().get(OptionCode::RapidCommit).is_some());
}

#[test]
fn confirmations_say_whether_the_address_is_right() {
    let town = town(Ipv6Mode::Dhcpv6Stateful);
    for (address, status) in [
        ("fd00::10", Status::Success),
        ("fd00::66", Status::NotOnLink),
    ] {
        let reply = exchange(
            &town,
            &ask(MessageType::Confirm, vec![wanted(Some(address))]),
        );
        let Some(DhcpOption::StatusCode(code)) = reply.opts().get(OptionCode::StatusCode) else {
            panic!("no status");
        };
        assert_eq!(code.status, status);
    }
}

#[test]
fn stateless_networks_tell_name_servers_only() {
    let town = town(Ipv6Mode::Dhcpv6Stateless);
    let reply = exchange(&town, &ask(MessageType::InformationRequest, vec![]));
    assert!(reply.opts().get(OptionCode::DomainNameServers).is_some());
    let advertise = exchange(&town, &ask(MessageType::Solicit, vec![wanted(None)]));
    assert_eq!(given(&advertise), []);
}

#[test]
fn others_servers_and_rubbish_are_not_answered() {
    let town = town(Ipv6Mode::Dhcpv6Stateful);
    let options = vec![DhcpOption::ServerId(vec![1, 2, 3]), wanted(None)];
    let message = ask(MessageType::Request, options).to_vec().unwrap();
    let verdict = send(&town.snapshot(), town.a.port, &frame(&town, message));
    assert_eq!(verdict, Verdict::Answer(vec![]));
    let verdict = send(&town.snapshot(), town.a.port, &frame(&town, vec![1, 2]));
    assert_eq!(reason(&verdict), Some(DropReason::Malformed));
}

#[test]
fn networks_with_slaac_alone_have_no_server() {
    let town = town(Ipv6Mode::Slaac);
    let message = ask(MessageType::InformationRequest, vec![])
        .to_vec()
        .unwrap();
    let verdict = send(&town.snapshot(), town.a.port, &frame(&town, message));
    assert_eq!(reason(&verdict), Some(DropReason::SecurityGroupEgress));
}

#[test]
fn each_pair_of_modes_has_the_service_that_neutron_defines() {
    use Ipv6Mode::{Dhcpv6Stateful, Dhcpv6Stateless, Slaac};
    // whether information is given, and an address
    let cases = [
        (None, None, true, true),
        (None, Some(Slaac), false, false),
        (None, Some(Dhcpv6Stateful), true, true),
        (None, Some(Dhcpv6Stateless), true, false),
        (Some(Slaac), None, false, false),
        (Some(Dhcpv6Stateful), None, false, false),
        (Some(Dhcpv6Stateless), None, false, false),
        (Some(Slaac), Some(Slaac), false, false),
        (Some(Dhcpv6Stateful), Some(Dhcpv6Stateful), true, true),
        (Some(Dhcpv6Stateless), Some(Dhcpv6Stateless), true, false),
    ];
    for (ra, address, informs, gives) in cases {
        let mut town = town(Slaac);
        for object in &mut town.world.objects {
            if let Object::Subnet(subnet) = object
                && subnet.cidr.addr().is_ipv6()
            {
                (subnet.ipv6_mode, subnet.ipv6_address_mode) = (ra, address);
            }
        }
        let solicit = ask(MessageType::Solicit, vec![wanted(None)]);
        let bytes = frame(&town, solicit.to_vec().unwrap());
        let verdict = send(&town.snapshot(), town.a.port, &bytes);
        let case = format!("{ra:?} {address:?}");
        assert_eq!(matches!(verdict, Verdict::Answer(_)), informs, "{case}");
        if informs {
            let given = !given(&exchange(&town, &solicit)).is_empty();
            assert_eq!(given, gives, "{case}");
        }
    }
}

fn port(town: &mut Town) -> &mut topology::Port {
    let id = town.a.port;
    let mut objects = town.world.objects.iter_mut();
    let found = objects.find_map(|o| match o {
        Object::Port(port) if port.id == id => Some(port),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn options_of_the_port_replace_those_of_the_subnet() {
    let mut town = town(Ipv6Mode::Dhcpv6Stateful);
    let server: Ipv6Addr = "fd00::53".parse().unwrap();
    let options = [
        (23, server.octets().to_vec()),
        (59, b"tftp://[fd00::9]/boot".to_vec()),
    ];
    port(&mut town).dhcp_options = options
        .map(|(code, data)| topology::DhcpOption {
            family: Family::V6,
            code,
            data,
            ipxe: None,
        })
        .into();
    let reply = exchange(&town, &ask(MessageType::InformationRequest, vec![]));
    let dns = DhcpOption::DomainNameServers(vec![server]);
    assert_eq!(reply.opts().get(OptionCode::DomainNameServers), Some(&dns));
    let url = reply.opts().get(OptionCode::OptBootfileUrl);
    assert!(url.is_some(), "{reply:?}");
}

#[test]
fn a_boot_loader_gets_options_of_its_own() {
    let mut town = town(Ipv6Mode::Dhcpv6Stateless);
    let option = |url: &[u8], ipxe| topology::DhcpOption {
        family: Family::V6,
        code: 59,
        data: url.to_vec(),
        ipxe: Some(ipxe),
    };
    port(&mut town).dhcp_options = vec![option(b"script", true), option(b"loader", false)];
    let cases = [(&b"\0\x03PXE"[..], "loader"), (b"\0\x04iPXE", "script")];
    for (classes, wanted) in cases {
        // dhcproto writes a wrong length for this one
        let class = UnknownOption::new(OptionCode::UserClass, classes.to_vec());
        let class = DhcpOption::Unknown(class);
        let reply = exchange(&town, &ask(MessageType::InformationRequest, vec![class]));
        let url = reply.opts().get(OptionCode::OptBootfileUrl);
        let shown = format!("{url:?}");
        let bytes = format!("{:?}", wanted.as_bytes());
        assert!(shown.contains(wanted) || shown.contains(&bytes), "{shown}");
    }
}

#[test]
fn a_port_in_two_subnets_has_both_addresses_in_one_association() {
    let mut town = town(Ipv6Mode::Dhcpv6Stateful);
    let red = town.red;
    let second = town.world.subnet(red, "fd00:9::/64");
    for object in &mut town.world.objects {
        if let Object::Subnet(subnet) = object
            && subnet.id == second
        {
            subnet.ipv6_address_mode = Some(Ipv6Mode::Dhcpv6Stateful);
        }
    }
    let address = topology::Address {
        ip: crate::ip("fd00:9::10"),
        subnet: second,
    };
    port(&mut town).addresses.push(address);
    let advertise = exchange(&town, &ask(MessageType::Solicit, vec![wanted(None)]));
    let all: Vec<String> = given(&advertise)
        .iter()
        .map(|(a, _)| a.to_string())
        .collect();
    assert_eq!(all, ["fd00::10", "fd00:9::10"]);
}

#[test]
fn what_rfc_8415_wants_discarded_is() {
    let town = town(Ipv6Mode::Dhcpv6Stateful);
    let server = || DhcpOption::ServerId(vec![0, 3, 0, 1, 0x02, 0x4d, 0x4e, 0, 0, 1]);
    let silent = |message: Message| {
        let bytes = frame(&town, message.to_vec().unwrap());
        let verdict = send(&town.snapshot(), town.a.port, &bytes);
        assert_eq!(verdict, Verdict::Answer(vec![]), "{message:?}");
    };
    let mut anonymous = Message::new_with_id(MessageType::Solicit, [1, 2, 3]);
    anonymous.opts_mut().insert(wanted(None));
    silent(anonymous);
    silent(ask(MessageType::Solicit, vec![server(), wanted(None)]));
    silent(ask(MessageType::Request, vec![wanted(None)]));
    silent(ask(MessageType::Confirm, vec![wanted(None)]));
    // what is given back is only acknowledged
    for kind in [MessageType::Release, MessageType::Decline] {
        let message = ask(kind, vec![server(), wanted(Some("fd00::10"))]);
        let reply = exchange(&town, &message);
        assert!(reply.opts().get(OptionCode::StatusCode).is_some());
        assert_eq!(given(&reply), []);
    }
}

#[test]
fn prefixes_are_not_delegated_and_relays_are_refused() {
    let town = town(Ipv6Mode::Dhcpv6Stateful);
    let prefix = DhcpOption::IAPD(dhcproto::v6::IAPD {
        id: 9,
        t1: 0,
        t2: 0,
        opts: DhcpOptions::new(),
    });
    let advertise = exchange(
        &town,
        &ask(MessageType::Solicit, vec![prefix, wanted(None)]),
    );
    let Some(DhcpOption::IAPD(answer)) = advertise.opts().get(OptionCode::IAPD) else {
        panic!("{advertise:?}");
    };
    let Some(DhcpOption::StatusCode(code)) = answer.opts.get(OptionCode::StatusCode) else {
        panic!("{answer:?}");
    };
    assert_eq!(code.status, Status::NoPrefixAvail);
    assert_eq!(given(&advertise).len(), 1);
    let verdict = send(
        &town.snapshot(),
        town.a.port,
        &frame(&town, vec![12, 0, 0, 0]),
    );
    assert_eq!(reason(&verdict), Some(DropReason::DhcpRelayed));
}
