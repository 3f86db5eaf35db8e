//! DHCPv4 with three programs that know nothing of each other, and what only bytes can say.

use crate::{Scene, lease::Lease};
use e2e::Guest;
use lab::{DhcpClient, DhcpProgram, RawSocket};
use serde_json::json;
use std::{net::Ipv4Addr, time::Duration};
use wire::{Dhcp4Kind, Dhcp4Request, IpPacket, Mac, Udp, protocol};

/// The programs, one for each VM of the scene.
const PROGRAMS: [DhcpProgram; 3] = [
    DhcpProgram::Dhclient,
    DhcpProgram::Udhcpc,
    DhcpProgram::Dhcpcd,
];
const V4: &[&str] = &["-4"];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long to wait for one that must not come.
const SILENCE: Duration = Duration::from_millis(500);

/// Options that all of these take as they are; udhcpc knows IPv4 only.
fn start(guest: &Guest, program: DhcpProgram, arguments: &[&str]) -> DhcpClient {
    let v4 = if program == DhcpProgram::Udhcpc {
        &[]
    } else {
        V4
    };
    guest
        .vm
        .dhcp_client(program, &[v4, arguments].concat())
        .unwrap()
}

/// What the subnet says to this VM.
fn wanted(guest: &Guest) -> Lease {
    Lease {
        address: guest.v4.to_string(),
        mask: "255.255.255.0".to_owned(),
        server: SERVER.to_string(),
        seconds: "86400".to_owned(),
        mtu: "1400".to_owned(),
        routers: SERVER.to_string(),
        dns: "192.0.2.53 192.0.2.54".to_owned(),
        routes: "198.51.100.0/24 via 10.1.0.5, 0.0.0.0/0 via 10.1.0.1".to_owned(),
    }
}

impl Scene {
    pub fn three_programs_are_told_the_same(&self) {
        for (guest, program) in self.guests.iter().zip(PROGRAMS) {
            let told = start(guest, program, &[]).told("BOUND").unwrap();
            assert_eq!(Lease::of(program, &told), wanted(guest), "{program:?}");
        }
    }

    pub fn a_lease_is_renewed_rebound_and_released(&self) {
        self.dhclient_renews_and_rebinds_by_itself();
        let [_, two, three] = &self.guests;
        let mut udhcpc = start(two, DhcpProgram::Udhcpc, &[]);
        udhcpc.told("BOUND").unwrap();
        udhcpc.process().signal(libc::SIGUSR1);
        let told = udhcpc.told("RENEW").unwrap();
        assert_eq!(Lease::of(DhcpProgram::Udhcpc, &told), wanted(two));
        udhcpc.process().signal(libc::SIGUSR2);
        udhcpc.told("DECONFIG").unwrap();

        let mut dhcpcd = start(three, DhcpProgram::Dhcpcd, &[]);
        dhcpcd.told("BOUND").unwrap();
        // after SIGHUP it asks for the address it had, as after a reboot
        for signal in [libc::SIGUSR1, libc::SIGHUP] {
            dhcpcd.process().signal(signal);
            let told = dhcpcd.told("RENEW").unwrap();
            assert_eq!(Lease::of(DhcpProgram::Dhcpcd, &told), wanted(three));
        }
        dhcpcd.process().signal(libc::SIGALRM);
        let ended = || (!dhcpcd.process().is_running()).then_some(());
        lab::until("end of dhcpcd after its release", ANSWER, ended).unwrap();
    }

    /// The server is asked first; when it cannot be reached, whoever listens. The times are those of
    /// extra options.
    fn dhclient_renews_and_rebinds_by_itself(&self) {
        let option = |name, value| json!({"opt_name": name, "opt_value": value});
        let options = [("T1", "2"), ("T2", "4"), ("lease-time", "30")];
        let one = &self.guests[0];
        self.set_options(one, options.map(|(name, value)| option(name, value)).into());
        let mut dhclient = start(one, DhcpProgram::Dhclient, &[]);
        let lease = Lease {
            seconds: "30".to_owned(),
            ..wanted(one)
        };
        for event in ["BOUND", "RENEW"] {
            let told = dhclient.told(event).unwrap();
            assert_eq!(Lease::of(DhcpProgram::Dhclient, &told), lease, "{event}");
        }
        let netns = one.vm.netns();
        netns.run("nft add table ip lab").unwrap();
        netns
            .run("nft add chain ip lab out { type filter hook output priority 0 ; }")
            .unwrap();
        netns
            .run(&format!("nft add rule ip lab out ip daddr {SERVER} drop"))
            .unwrap();
        // it calls that a renewal too; the first one may be from before the wall
        for _ in 0..2 {
            let told = dhclient.told("RENEW").unwrap();
            assert_eq!(Lease::of(DhcpProgram::Dhclient, &told), lease);
        }
        netns.run("nft delete table ip lab").unwrap();
        self.set_options(one, json!([]));
    }

    pub fn what_is_declined_or_released_is_still_the_ports(&self) {
        let guest = &self.guests[0];
        let asker = Asker::at(guest);
        for kind in [Dhcp4Kind::Decline, Dhcp4Kind::Release] {
            let request = Dhcp4Request {
                requested: (kind == Dhcp4Kind::Decline).then_some(guest.v4),
                client: match kind {
                    Dhcp4Kind::Release => guest.v4,
                    _ => Ipv4Addr::UNSPECIFIED,
                },
                server: Some(SERVER),
                ..asker.request(kind)
            };
            assert_eq!(asker.ask(&request, 68, SILENCE), None, "{kind:?}");
            let discover = asker.request(Dhcp4Kind::Discover);
            let offer = asker.ask(&discover, 68, ANSWER);
            assert_eq!(offer, Some((Dhcp4Kind::Offer as u8, guest.v4)), "{kind:?}");
        }
    }

    /// By hand: of the three programs only dhcpcd informs, and 9.4.1 crashes when it is to.
    pub fn who_has_an_address_is_told_the_rest(&self) {
        let guest = &self.guests[0];
        let asker = Asker::at(guest);
        let inform = Dhcp4Request {
            client: guest.v4,
            ..asker.request(Dhcp4Kind::Inform)
        };
        let told = (Dhcp4Kind::Ack as u8, Ipv4Addr::UNSPECIFIED);
        assert_eq!(asker.ask(&inform, 68, ANSWER), Some(told));
    }

    pub fn relayed_requests_are_refused(&self) {
        let guest = &self.guests[0];
        let asker = Asker::at(guest);
        let relayed = Dhcp4Request {
            relay: guest.v4,
            client: guest.v4,
            ..asker.request(Dhcp4Kind::Discover)
        };
        for sport in [67, 68] {
            let before = self.cloud.drops(0, "dhcp_relayed");
            assert_eq!(
                asker.ask(&relayed, sport, SILENCE),
                None,
                "from port {sport}"
            );
            assert_eq!(self.cloud.drops(0, "dhcp_relayed"), before + 1);
        }
    }

    /// One of IPv6 has no modes then; see `modes`.
    pub fn a_subnet_without_dhcp_is_silent(&self) {
        let asker = Asker::at(&self.guests[0]);
        let discover = asker.request(Dhcp4Kind::Discover);
        for (enabled, limit) in [(false, SILENCE), (true, ANSWER)] {
            let body = json!({"enable_dhcp": enabled});
            self.cloud.update("subnet", &self.network.v4, body);
            self.cloud.settle();
            let answer = asker.ask(&discover, 68, limit);
            assert_eq!(answer.is_some(), enabled, "enable_dhcp {enabled}");
        }
    }
}

/// Requests as bytes.
struct Asker {
    socket: RawSocket,
    mac: Mac,
}

impl Asker {
    fn at(guest: &Guest) -> Self {
        Self {
            socket: guest.vm.raw().unwrap(),
            mac: guest.vm.mac().parse().unwrap(),
        }
    }

    fn request(&self, kind: Dhcp4Kind) -> Dhcp4Request {
        Dhcp4Request {
            kind,
            xid: 0x6c61_6200 + kind as u32,
            broadcast: false,
            client: Ipv4Addr::UNSPECIFIED,
            relay: Ipv4Addr::UNSPECIFIED,
            mac: self.mac,
            requested: None,
            server: None,
            identifier: vec![],
            wanted: vec![],
            message_max: None,
            ipxe: false,
        }
    }

    /// Type and address of the answer, if one comes.
    fn ask(&self, request: &Dhcp4Request, sport: u16, limit: Duration) -> Option<(u8, Ipv4Addr)> {
        let (src, dst) = (request.client.into(), Ipv4Addr::BROADCAST.into());
        let message = request.message();
        let udp = Udp {
            sport,
            dport: 67,
            payload: &message,
        };
        let packet = IpPacket {
            src,
            dst,
            proto: protocol::UDP,
            ttl: 64,
            payload: &udp.datagram(src, dst).unwrap(),
        };
        self.socket
            .send(&packet.frame(self.mac, Mac::BROADCAST).unwrap())
            .unwrap();
        let xid = request.xid.to_be_bytes();
        let is_answer = |f: &[u8]| f.get(34..36) == Some(&[0, 67]) && f.get(46..50) == Some(&xid);
        let answer = self.socket.receive(limit, is_answer).unwrap()?;
        let address: [u8; 4] = answer[58..62].try_into().unwrap();
        // the message's type is the first option
        Some((answer[284], address.into()))
    }
}
