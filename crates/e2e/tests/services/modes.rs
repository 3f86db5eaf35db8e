//! How hosts get IPv6 addresses: each pair of `ipv6_ra_mode` and `ipv6_address_mode`, and two
//! programs that speak DHCPv6.

use crate::{
    Scene, network,
    v6::{Advertised, Asker},
};
use e2e::{Cloud, Guest, text};
use lab::{DhcpProgram, Told};
use serde_json::{Value, json};
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_millis(300);
const SLAAC: Option<&str> = Some("slaac");
const STATELESS: Option<&str> = Some("dhcpv6-stateless");
const STATEFUL: Option<&str> = Some("dhcpv6-stateful");

/// Who answers on a subnet.
#[derive(Debug, PartialEq, Eq)]
struct Service {
    /// Managed, other, autonomous; none if nothing is advertised.
    advertised: Option<[bool; 3]>,
    /// Whether DHCPv6 gives an address; none if nobody answers.
    dhcp: Option<bool>,
}

/// All pairs that Neutron accepts, and none of them on a subnet without DHCP.
const PAIRS: [(Option<&str>, Option<&str>, Service); 11] = [
    (SLAAC, SLAAC, service(Some([false, false, true]), None)),
    (SLAAC, None, service(Some([false, false, true]), None)),
    (None, SLAAC, service(None, None)),
    (
        STATELESS,
        STATELESS,
        service(Some([false, true, true]), Some(false)),
    ),
    (STATELESS, None, service(Some([false, true, true]), None)),
    (None, STATELESS, service(None, Some(false))),
    (
        STATEFUL,
        STATEFUL,
        service(Some([true, true, false]), Some(true)),
    ),
    (STATEFUL, None, service(Some([true, true, false]), None)),
    (None, STATEFUL, service(None, Some(true))),
    (None, None, service(None, Some(true))),
    (None, None, service(None, None)),
];

impl Service {
    fn is_silent(&self) -> bool {
        self.advertised.is_none() && self.dhcp.is_none()
    }
}

const fn service(advertised: Option<[bool; 3]>, dhcp: Option<bool>) -> Service {
    Service { advertised, dhcp }
}

impl Scene {
    pub fn each_pair_of_modes_is_as_neutron_says(&self) {
        let router = text(&self.cloud.create("router", json!({"name": "modes"})), "id");
        let ports = PAIRS.iter().zip(20..).map(|((ra, address, wanted), n)| {
            let mut modes = json!({"ipv6_ra_mode": ra, "ipv6_address_mode": address});
            if wanted.is_silent() && ra.is_none() && address.is_none() {
                modes["enable_dhcp"] = json!(false);
            }
            let network = network(&self.cloud, "modes", n, modes);
            if ra.is_some() {
                self.cloud
                    .add_interface(&router, json!({"subnet_id": network.v6}));
            }
            let fixed = json!([{"subnet_id": network.v4}, {"subnet_id": network.v6}]);
            let body = json!({"fixed_ips": fixed, "security_groups": [self.closed]});
            let port = self.cloud.port(1, &network, body);
            self.cloud.plug(&format!("m{n}"), 1, &port)
        });
        let guests: Vec<Guest> = ports.collect();
        self.cloud.settle();
        for (guest, (ra, address, wanted)) in guests.iter().zip(&PAIRS) {
            let asker = Asker::at(guest);
            let limit = |expected| if expected { ANSWER } else { SILENCE };
            let advertised = asker.solicit_router(limit(wanted.advertised.is_some()));
            if let Some(said) = &advertised {
                assert_eq!((said.router, said.mtu), (true, 1400), "{ra:?} {address:?}");
            }
            let flags = |a: &Advertised| [a.managed, a.other, a.autonomous];
            let offered = asker.solicit(limit(wanted.dhcp.is_some()));
            if let Some((addresses, servers)) = &offered {
                let own = if wanted.dhcp == Some(true) {
                    vec![guest.v6]
                } else {
                    vec![]
                };
                assert_eq!(*addresses, own, "{ra:?} {address:?}");
                assert_eq!(servers[0].to_string(), "2001:db8::53");
            }
            let informed = asker.ask_information(limit(wanted.dhcp.is_some()));
            assert_eq!(
                informed.is_some(),
                wanted.dhcp.is_some(),
                "{ra:?} {address:?}"
            );
            let seen = Service {
                advertised: advertised.as_ref().map(flags),
                dhcp: offered.map(|(addresses, _)| !addresses.is_empty()),
            };
            assert_eq!(seen, *wanted, "{ra:?} {address:?}");
        }
    }

    pub fn dhcpv6_gives_addresses_or_the_rest(&self) {
        let options = json!([
            {"opt_name": "dns-server", "opt_value": "2001:db8::35", "ip_version": 6},
            {"opt_name": "24", "opt_value": "lab.example", "ip_version": 6},
            {"opt_name": "bootfile-url", "opt_value": "tftp://[2001:db8::9]/boot", "ip_version": 6},
        ]);
        let plain = ("2001:db8::53", "", "");
        let extra = ("2001:db8::35", "lab.example", "tftp://[2001:db8::9]/boot");
        let stateful = two_vms(&self.cloud, 11, STATEFUL, &json!([]));
        let extended = two_vms(&self.cloud, 12, STATEFUL, &options);
        let stateless = two_vms(&self.cloud, 13, STATELESS, &json!([]));
        self.cloud.settle();
        for (guests, wanted) in [(&stateful, plain), (&extended, extra)] {
            let [by_dhclient, by_dhcpcd] = guests;
            let told = self::told(by_dhclient, DhcpProgram::Dhclient, &["-6"], "BOUND6");
            assert_eq!(told.values["new_ip6_address"], by_dhclient.v6.to_string());
            assert_eq!(rest(&told), wanted);
            let told = self::told(by_dhcpcd, DhcpProgram::Dhcpcd, &["-6"], "BOUND6");
            let address = &told.values["new_dhcp6_ia_na1_ia_addr1"];
            assert_eq!(*address, by_dhcpcd.v6.to_string());
            let (servers, domains, _) = rest(&told); // it was not asked what to boot
            assert_eq!((servers, domains), (wanted.0, wanted.1));
        }
        let told = told(
            &stateless[0],
            DhcpProgram::Dhclient,
            &["-6", "-S"],
            "RENEW6",
        );
        assert_eq!(rest(&told), plain);
        for guest in &stateless {
            assert_eq!(guest.vm.slaac().unwrap(), guest.v6);
        }
    }
}

/// Two VMs on a network of their own, whose router advertises a mode.
fn two_vms(cloud: &Cloud, n: u8, mode: Option<&str>, options: &Value) -> [Guest; 2] {
    let modes = json!({"ipv6_ra_mode": mode, "ipv6_address_mode": mode});
    let network = network(cloud, "v6", n, modes);
    let router = text(&cloud.create("router", json!({"name": "v6"})), "id");
    cloud.add_interface(&router, json!({"subnet_id": network.v6}));
    [1, 2].map(|which| {
        let body = json!({"extra_dhcp_opts": options});
        cloud.plug(&format!("v{n}-{which}"), 1, &cloud.port(1, &network, body))
    })
}

fn told(guest: &Guest, program: DhcpProgram, arguments: &[&str], event: &str) -> Told {
    let mut client = guest.vm.dhcp_client(program, arguments).unwrap();
    client.told(event).unwrap()
}

/// Name servers, domains to search, and what to boot.
fn rest(told: &Told) -> (&str, &str, &str) {
    let value = |name| {
        told.values
            .get(name)
            .map_or("", |v| v.trim_end_matches('.'))
    };
    (
        value("new_dhcp6_name_servers"),
        value("new_dhcp6_domain_search"),
        value("new_dhcp6_bootfile_url"),
    )
}
