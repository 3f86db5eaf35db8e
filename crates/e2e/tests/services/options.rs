//! `extra_dhcp_opts` of ports.

use crate::Scene;
use e2e::Guest;
use lab::{DhcpProgram, Told};
use serde_json::{Value, json};

fn option(name: &str, value: &str, version: u8) -> Value {
    json!({"opt_name": name, "opt_value": value, "ip_version": version})
}

fn value<'a>(told: &'a Told, name: &str) -> &'a str {
    told.values.get(name).map_or("", String::as_str)
}

impl Scene {
    /// Gives a VM's port these options and no others.
    pub fn set_options(&self, guest: &Guest, options: Value) {
        let id = guest.vm.port().to_string();
        // an option goes when its value is null
        let mut all = options.as_array().cloned().unwrap_or_default();
        let held = self.cloud.show("port", &id)["extra_dhcp_opts"].clone();
        for old in held.as_array().into_iter().flatten() {
            let same = |new: &Value| {
                let version = new.get("ip_version").unwrap_or(&json!(4)).clone();
                new["opt_name"] == old["opt_name"] && version == old["ip_version"]
            };
            if !all.iter().any(same) {
                let mut gone = old.clone();
                gone["opt_value"] = Value::Null;
                all.push(gone);
            }
        }
        self.cloud
            .update("port", &id, json!({"extra_dhcp_opts": all}));
        self.cloud.settle();
    }

    pub fn extra_options_are_told_by_name_and_by_number(&self) {
        let [one, two, _] = &self.guests;
        let options = json!([
            option("mtu", "1280", 4),
            option("42", "192.0.2.123", 4),
            option("domain-search", "lab.example,example", 4),
            option("66", "tftp.example", 4),
            option("bootfile-name", "http://boot.example/a,b", 4),
            option("tag:ipxe,67", "never", 4),
            option("server-ip-address", "192.0.2.9", 4),
            option("classless-static-route", "203.0.113.0/24,10.1.0.7", 4),
            option("224", "01:ff", 4),
            option("router", "", 4),
        ]);
        for guest in [one, two] {
            self.set_options(guest, options.clone());
        }
        let mut client = one.vm.dhcp_client(DhcpProgram::Dhclient, &["-4"]).unwrap();
        let told = client.told("BOUND").unwrap();
        let expected = [
            ("new_interface_mtu", "1280"),
            ("new_ntp_servers", "192.0.2.123"),
            ("new_domain_search", "lab.example. example."),
            ("new_tftp_server_name", "tftp.example"),
            ("new_bootfile_name", "http://boot.example/a,b"),
            ("new_next_server", "192.0.2.9"),
            (
                "new_rfc3442_classless_static_routes",
                "24 203 0 113 10 1 0 7",
            ),
            ("new_lab_224", "1:ff"),
            ("new_routers", ""),
        ];
        for (name, wanted) in expected {
            assert_eq!(value(&told, name), wanted, "{name} of {told:?}");
        }
        let mut client = two
            .vm
            .dhcp_client(DhcpProgram::Udhcpc, &["-O", "ntpsrv"])
            .unwrap();
        let told = client.told("BOUND").unwrap();
        let expected = [
            ("mtu", "1280"),
            ("ntpsrv", "192.0.2.123"),
            ("search", "lab.example example"),
            ("tftp", "tftp.example"),
            ("bootfile", "http://boot.example/a,b"),
            ("siaddr", "192.0.2.9"),
            ("staticroutes", "203.0.113.0/24 10.1.0.7"),
            ("opt224", "01ff"),
            ("router", ""),
        ];
        for (name, wanted) in expected {
            assert_eq!(value(&told, name), wanted, "{name} of {told:?}");
        }
    }

    /// A client that asks again is told what holds now.
    pub fn options_change_while_a_vm_runs(&self) {
        let two = &self.guests[1];
        let mut client = two.vm.dhcp_client(DhcpProgram::Udhcpc, &[]).unwrap();
        assert_eq!(value(&client.told("BOUND").unwrap(), "mtu"), "1280");
        self.set_options(two, json!([option("26", "1300", 4)]));
        client.process().signal(libc::SIGUSR1);
        assert_eq!(value(&client.told("RENEW").unwrap(), "mtu"), "1300");
        for guest in &self.guests[..2] {
            self.set_options(guest, json!([]));
        }
        client.process().signal(libc::SIGUSR1);
        assert_eq!(value(&client.told("RENEW").unwrap(), "mtu"), "1400");
    }

    pub fn options_that_cannot_be_are_refused_before_they_are_stored(&self) {
        let path = format!("/v2.0/ports/{}", self.guests[0].vm.port());
        let bad = [
            option("nosuch", "1", 4),
            option("53", "1", 4),
            option("mtu", "large", 4),
            option("router", "fd00::1", 6),
            option("tag:red,67", "x", 4),
        ];
        for bad in bad {
            let body = json!({"port": {"extra_dhcp_opts": [bad]}});
            let (status, said) = self.cloud.refused("PUT", &path, &body);
            assert_eq!(status, 400, "{said}");
            let name = bad["opt_name"].as_str().unwrap();
            assert!(said.to_string().contains(&format!("'{name}'")), "{said}");
        }
        let shown = &self.cloud.neutron.get(&path).unwrap()["port"]["extra_dhcp_opts"];
        assert_eq!(*shown, json!([]));
    }
}
