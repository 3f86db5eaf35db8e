//! The DHCPv6 server, asked and read by another implementation.

use crate::{answered, reason, send};
use dhcproto::v6::{
    DhcpOption, DhcpOptions, IAAddr, IANA, Message, MessageType, OptionCode, Status,
};
use dhcproto::{Decodable, Decoder, Encodable};
use flow::{DropReason, Verdict};
use sim::testing::{Frame, Payload, Town, World};
use std::net::{IpAddr, Ipv6Addr};
use topology::{Ipv6Mode, Object};
use wire::Mac;

fn town(mode: Ipv6Mode) -> Town {
    let mut world = World::new();
    let group = world.group(true, vec![]);
    let mut town = Town::new(world, Some(&[group]));
    for object in &mut town.world.objects {
        if let Object::Subnet(subnet) = object
            && subnet.cidr.addr().is_ipv6()
        {
            subnet.ipv6_mode = Some(mode);
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
        let options = vec![server.clone(), wanted(Some("fd00::10"))];
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
