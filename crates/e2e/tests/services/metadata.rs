//! Metadata: who asks is known by the port it asks from, and by nothing that it says.

use crate::{Scene, network};
use e2e::{Guest, text};
use lab::{DhcpProgram, within};
use serde_json::{Value, json};
use std::{
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

const V4: &str = "http://169.254.169.254";
const V6: &str = "http://[fe80::a9fe:a9fe%25eth0]";
const SERVICES: [&str; 2] = [V4, V6];
/// Connections that one port may have, the default.
const PER_PORT: usize = 64;
/// A body that must not be held by anybody on the way.
const LARGE: usize = 64 << 20;
/// What an agent may grow by meanwhile, KiB.
const GROWTH: u64 = 16 << 10;

/// What the service says to a request: its status and its body.
fn ask(guest: &Guest, url: &str) -> (String, String) {
    let said = guest.vm.netns().run(&format!(
        "curl -gsS --max-time 20 -w \\n%{{http_code}} {url}"
    ));
    let said = said.unwrap();
    let (body, status) = said.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

fn document(guest: &Guest, service: &str) -> Value {
    let (status, body) = ask(guest, &format!("{service}/openstack/latest/meta_data.json"));
    assert_eq!(status, "200", "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The link-local address that a VM asks from over IPv6.
fn link_local(guest: &Guest) -> String {
    let mac: wire::Mac = guest.vm.mac().parse().unwrap();
    mac.link_local().to_string()
}

impl Scene {
    /// The server that a VM is, known to Nova from now on.
    fn register(&self, guest: &Guest) -> (String, String) {
        let port = self.cloud.show("port", &guest.vm.port().to_string());
        let (id, project) = (text(&port, "device_id"), text(&port, "project_id"));
        self.nova.add(&id, &project);
        (id, project)
    }

    pub fn metadata_is_the_servers_own(&self) {
        // two tenants with the same addresses, one of them on a network without a router
        let tenants = [("a".repeat(32), true), ("b".repeat(32), false)];
        let twins = tenants.map(|(project, routed)| {
            let network = network(&self.cloud, &project[..1], 50, json!({}));
            if routed {
                self.cloud.router("twins", &[&network]);
            }
            let body = json!({
                "project_id": project, "mac_address": "fa:16:3e:00:00:77",
                "fixed_ips": [
                    {"subnet_id": network.v4, "ip_address": "10.50.0.77"},
                    {"subnet_id": network.v6},
                ],
            });
            let guest = self
                .cloud
                .plug(&project[..1], 0, &self.cloud.port(0, &network, body));
            guest.configure();
            guest
        });
        let [one, two] = &twins;
        assert_eq!((one.v4, one.v6), (two.v4, two.v6), "they differ in nothing");
        let (nobody, _) = ask(one, &format!("{V4}/latest/meta-data/instance-id"));
        assert_eq!(nobody, "404", "Nova does not know it yet");
        for guest in &twins {
            let (id, project) = self.register(guest);
            let from = [guest.v4.to_string(), link_local(guest)];
            for (service, from) in SERVICES.iter().zip(from) {
                let wanted = json!({"uuid": id, "project_id": project, "asked_from": from});
                assert_eq!(document(guest, service), wanted, "{service}");
            }
        }
    }

    pub fn metadata_is_streamed_to_many_at_a_time_within_bounds(&self) {
        let guest = &self.guests[0];
        guest.configure();
        let (id, _) = self.register(guest);
        let agent = &self.cloud.agents[0];
        let before = agent.resident_kib().unwrap();
        for service in SERVICES {
            let line = format!(
                "curl -gsS --max-time 60 -o /dev/null -w %{{size_download}} \
                                {service}/large/{LARGE}"
            );
            let size = guest.vm.netns().run(&line).unwrap();
            assert_eq!(size, LARGE.to_string(), "{service}");
        }
        let after = agent.resident_kib().unwrap();
        assert!(after < before + GROWTH, "from {before} to {after} KiB");

        let line = format!("curl -sS -Z --parallel-max 48 {V4}/slow?[1-96]");
        let said = guest.vm.netns().run(&line).unwrap();
        assert_eq!(said, id.repeat(96));
        let busiest = self.nova.busiest();
        assert!((24..=PER_PORT).contains(&busiest), "{busiest} at a time");
        self.one_port_cannot_take_it_all(guest);
    }

    fn one_port_cannot_take_it_all(&self, guest: &Guest) {
        let service = SocketAddr::new(IpAddr::from([169, 254, 169, 254]), 80);
        let open = || TcpStream::connect_timeout(&service, Duration::from_secs(5));
        let held = guest.vm.netns().enter(|| {
            let held: Result<Vec<TcpStream>, _> = (0..PER_PORT).map(|_| open()).collect();
            held
        });
        let held = held.unwrap().unwrap();
        let full = || match ask(guest, &format!("{V4}/latest/meta-data/instance-id")) {
            (status, said) if status == "503" && said.contains("too many") => Ok(()),
            other => Err(format!("{other:?}")),
        };
        within(
            "refusal of one connection more",
            Duration::from_secs(5),
            full,
        )
        .unwrap();
        let other = &self.guests[1];
        other.configure();
        self.register(other);
        document(other, V4);
        drop(held);
        let free = || match ask(guest, &format!("{V4}/latest/meta-data/instance-id")).0 {
            status if status == "200" => Ok(()),
            status => Err(status),
        };
        within("room for a connection", Duration::from_secs(5), free).unwrap();
    }

    pub fn all_of_it_goes_on_without_the_cluster(&mut self) {
        self.cloud.cluster.kill().unwrap();
        let guest = &self.guests[1];
        let mut client = guest.vm.dhcp_client(DhcpProgram::Udhcpc, &[]).unwrap();
        let told = client.told("BOUND").unwrap();
        assert_eq!(told.values["ip"], guest.v4.to_string());
        let asker = crate::v6::Asker::at(guest);
        assert!(asker.solicit_router(Duration::from_secs(5)).is_some());
        for service in SERVICES {
            document(guest, service);
        }
        self.cloud.cluster.restart().unwrap();
    }

    pub fn without_nova_it_says_so(self) {
        let Self { guests, nova, .. } = self;
        drop(nova);
        for service in SERVICES {
            let (status, said) = ask(&guests[1], &format!("{service}/latest/meta-data/"));
            assert_eq!(status, "503", "{service}");
            assert!(said.contains("metadata service does not answer"), "{said}");
        }
    }
}
