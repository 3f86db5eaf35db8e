//! A real guest: a kernel under software emulation, plugged as Nova plugs it. `./run guest` makes its
//! image and runs this.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use e2e::{Cloud, CloudNetwork, Guest, text};
use lab::{Probe, Process, within};
use serde_json::{Value, json};
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// How long the guest may take from one fact to the next; booting takes most.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long an answer may take: every instruction of the guest is emulated.
const ANSWER: Duration = Duration::from_secs(10);
/// What it answers at.
const SERVICE: u16 = 80;
const FAMILIES: [(&str, &str); 2] = [("IPv4", "icmp"), ("IPv6", "ipv6-icmp")];

/// The guest's machine and what it says.
struct Machine {
    process: Process,
    console: PathBuf,
    start: Instant,
}

#[test]
#[ignore = "boots a machine in software and needs an image; ./run guest makes it and runs this"]
fn a_guest_boots_gets_its_addresses_and_its_metadata_and_is_reached() {
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.run/guest");
    let start = Instant::now();
    let say = |what: &str| println!("[{:5.1} s] {what}", start.elapsed().as_secs_f64());
    say("Keystone, Neutron with networking-midonet, the cluster, two hosts with agents");
    let cloud = Cloud::new(2);
    let nova = cloud.lab.start_nova().unwrap();
    let network = cloud.network("net", 1);
    cloud.router("router", &[&network]);
    let port = guest_port(&cloud, &network);
    let peer = cloud.guest("peer", 1, &network, json!({}));
    nova.add(&text(&port, "device_id"), &text(&port, "project_id"));
    let tap = plug(&cloud, &port);
    say(&format!(
        "port {} is plugged as {tap} on h1; the guest boots",
        text(&port, "id")
    ));

    let mut machine = Machine::boot(&cloud, &image, &port, &tap);
    let mtu = cloud.show("network", &network.id)["mtu"].to_string();
    let (v4, v6) = (fixed_ip(&port, false), fixed_ip(&port, true));
    say(&format!("Linux {} is up", machine.fact("kernel")));
    let wanted = [
        ("ipv4", format!("{v4}/24"), "address by DHCP"),
        ("mtu", mtu, "MTU by DHCP"),
        (
            "ipv6",
            format!("{v6}/64"),
            "address by router advertisement",
        ),
    ];
    for (key, wanted, what) in wanted {
        assert_eq!(machine.fact(key), wanted, "{what}");
        say(&format!("{what}: {wanted}"));
    }
    assert!(
        machine.fact("router6").starts_with("fe80::"),
        "default route by advertisement"
    );
    for (key, address) in [
        ("metadata4", "169.254.169.254"),
        ("metadata6", "fe80::a9fe:a9fe"),
    ] {
        let document: Value = serde_json::from_str(&machine.fact(key)).unwrap();
        assert_eq!(document["uuid"], port["device_id"], "{address}");
        say(&format!("metadata at {address}: {document}"));
    }
    machine.fact("ready");
    cloud.wait_status("port", &text(&port, "id"), "ACTIVE");
    say("Neutron shows the port ACTIVE");
    for ip in [v4, v6] {
        is_reached(&peer, ip);
        say(&format!("ping and TCP from a VM on h2 to {ip}"));
    }
    drop(machine);
    unplug(&cloud, &port, &tap);
    cloud.wait_status("port", &text(&port, "id"), "DOWN");
    say("unplugged; Neutron shows the port DOWN");
}

/// A port that lets in pings and one TCP port.
fn guest_port(cloud: &Cloud, network: &CloudNetwork) -> Value {
    let group = text(
        &cloud.create("security-group", json!({"name": "guest"})),
        "id",
    );
    for (family, icmp) in FAMILIES {
        let rule = json!({"direction": "ingress", "ethertype": family});
        let with = |extra: Value| {
            let mut rule = rule.clone();
            for (key, value) in extra.as_object().unwrap() {
                rule[key] = value.clone();
            }
            cloud.rule(&group, rule);
        };
        with(json!({"protocol": icmp}));
        with(json!({"protocol": "tcp", "port_range_min": SERVICE, "port_range_max": SERVICE}));
    }
    cloud.port(0, network, json!({"security_groups": [group]}))
}

fn fixed_ip(port: &Value, v6: bool) -> IpAddr {
    let all = port["fixed_ips"].as_array().unwrap().iter();
    let mut all = all.map(|fixed| text(fixed, "ip_address").parse::<IpAddr>().unwrap());
    all.find(|ip| ip.is_ipv6() == v6).unwrap()
}

/// As Nova's VIF driver does it: a tap by the port's name, and a word to the agent.
fn plug(cloud: &Cloud, port: &Value) -> String {
    let id = text(port, "id");
    let tap = format!("tap{}", &id[..11]);
    let host = cloud.hosts[0].netns();
    host.ip(&format!("tuntap add dev {tap} mode tap")).unwrap();
    host.ip(&format!("link set dev {tap} up")).unwrap();
    mm_ctl(cloud, &["--bind-port", &id, &tap]);
    tap
}

/// As Nova does it when the server is gone.
fn unplug(cloud: &Cloud, port: &Value, tap: &str) {
    mm_ctl(cloud, &["--unbind-port", &text(port, "id")]);
    let host = cloud.hosts[0].netns();
    host.ip(&format!("link del dev {tap}")).unwrap();
}

fn mm_ctl(cloud: &Cloud, arguments: &[&str]) {
    let status = Command::new(lab::program("midonet").unwrap())
        .arg("mm-ctl")
        .args(arguments)
        .env(client::SOCKET_VARIABLE, cloud.agents[0].socket())
        .status()
        .unwrap();
    assert!(status.success(), "mm-ctl {arguments:?}: {status}");
}

/// The first packets may meet a guest that is busy.
fn is_reached(peer: &Guest, ip: IpAddr) {
    peer.vm.ping_until(ip, PATIENCE).unwrap();
    let to = SocketAddr::new(ip, SERVICE);
    within(&format!("answer of {to}"), PATIENCE, || {
        match peer.vm.tcp(to, ANSWER) {
            Ok(Probe::Answered) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .unwrap();
}

impl Machine {
    /// Starts it on its host.
    fn boot(cloud: &Cloud, image: &Path, port: &Value, tap: &str) -> Self {
        let file = |name: &str| {
            let path = image.join(name);
            assert!(
                path.exists(),
                "there is no {}; ./run guest makes it",
                path.display()
            );
            path.display().to_string()
        };
        let (kernel, initramfs, mac) =
            (file("kernel"), file("initramfs"), text(port, "mac_address"));
        let line = format!(
            "-accel tcg -m 256 -nodefaults -display none -no-reboot -serial stdio \
             -kernel {kernel} -initrd {initramfs} \
             -netdev tap,id=net0,ifname={tap},script=no,downscript=no \
             -device virtio-net-pci,netdev=net0,mac={mac}"
        );
        let arguments = line.split_whitespace().map(str::to_owned);
        let boot = ["-append", "console=ttyS0 quiet panic=-1 mitigations=off"];
        let arguments: Vec<String> = arguments.chain(boot.map(str::to_owned)).collect();
        let host = &cloud.hosts[0];
        let process = host.start("guest", "qemu-system-x86_64", arguments);
        Self {
            process: process.expect("qemu-system-x86_64 starts"),
            console: host.dir().join("guest.log"),
            start: Instant::now(),
        }
    }

    /// Waits until it has said `guest KEY ...` on its console.
    fn fact(&mut self, key: &str) -> String {
        let Self {
            process, console, ..
        } = self;
        let look = || {
            let text = fs::read(&*console).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).replace('\r', "");
            let said = |key: &str| {
                let mut facts = text.split_inclusive('\n').filter_map(|line| {
                    let (_, fact) = line.strip_suffix('\n')?.split_once("guest ")?;
                    fact.strip_prefix(key).map(|rest| rest.trim().to_owned())
                });
                facts.next()
            };
            match (said(key), said("failed")) {
                (Some(value), _) => Some(Ok(value)),
                (None, Some(why)) => Some(Err(format!("the guest says: {why}\n{text}"))),
                (None, None) if !process.is_running() => {
                    Some(Err(format!("qemu has ended:\n{text}")))
                }
                (None, None) => None,
            }
        };
        let what = format!(
            "'{key}' on the guest's console after {:?}",
            self.start.elapsed()
        );
        match lab::until(&what, PATIENCE, look) {
            Ok(Ok(value)) => value,
            Ok(Err(why)) => panic!("{why}"),
            Err(error) => {
                let text = fs::read(&self.console).unwrap_or_default();
                panic!("{error}\n{}", String::from_utf8_lossy(&text))
            }
        }
    }
}
