//! The lab itself: paths on the underlay, taps, and that nothing is left over. Needs root.

use lab::{Lab, OUTSIDE, Plug, program, until};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// Tells a test of this file to crash with a lab open.
const CRASH: &str = "LAB_TEST_CRASH";

fn plug() -> Plug {
    Plug {
        port: uuid::Uuid::new_v4(),
        mac: "fa:16:3e:00:00:01".to_owned(),
    }
}

#[test]
fn hosts_reach_each_other_and_the_control_side() {
    let mut lab = Lab::new().unwrap();
    let one = lab.add_host("h1").unwrap();
    let two = lab.add_host("h2").unwrap();
    one.netns()
        .run(&format!("ping -c 1 -W 2 -s 1500 -M do {}", two.address()))
        .unwrap();
    one.netns()
        .run(&format!("ping -c 1 -W 2 {}", lab.control_address()))
        .unwrap();
}

#[test]
fn a_tap_is_named_after_its_port_and_comes_and_goes() {
    let mut lab = Lab::new().unwrap();
    let host = lab.add_host("h1").unwrap();
    let vm = host.plug("vm1", plug()).unwrap();
    let name = format!("tap{}", &vm.port().to_string()[..11]);
    assert_eq!(vm.tap(), name);
    assert!(
        host.netns()
            .ip(&format!("-br link show {name}"))
            .unwrap()
            .contains("UP")
    );
    assert!(vm.netns().ip("link show eth0").unwrap().contains(vm.mac()));
    vm.unplug().unwrap();
    assert!(host.netns().ip(&format!("link show {name}")).is_err());
    vm.plug().unwrap();
    assert!(host.netns().ip(&format!("link show {name}")).is_ok());
}

#[test]
fn echo_and_raw_frames_pass_between_namespaces() {
    let mut lab = Lab::new().unwrap();
    let host = lab.add_host("h1").unwrap();
    let vm = host.plug("vm1", plug()).unwrap();
    host.netns()
        .ip(&format!("addr add 192.0.2.1/24 dev {}", vm.tap()))
        .unwrap();
    vm.add_address("192.0.2.2/24").unwrap();
    let limit = Duration::from_secs(2);
    let _tcp = vm.echo_tcp(80).unwrap();
    let _udp = vm.echo_udp(53).unwrap();
    // from the VM to itself: the probes are what is tested here
    assert!(
        vm.tcp("192.0.2.2:80".parse().unwrap(), limit)
            .unwrap()
            .answered()
    );
    assert!(
        vm.udp("192.0.2.2:53".parse().unwrap(), limit)
            .unwrap()
            .answered()
    );
    assert_eq!(
        vm.tcp("192.0.2.2:81".parse().unwrap(), limit).unwrap(),
        lab::Probe::Refused
    );
    let raw = vm.raw().unwrap();
    host.netns().run("ping -c 1 -W 1 192.0.2.2").unwrap();
    assert!(
        raw.receive(limit, |f| f[12..14] == [8, 0])
            .unwrap()
            .is_some()
    );
}

#[test]
fn an_upstream_router_uses_the_links_that_have_carrier() {
    let prefixes = ["198.51.100.0/24", "2001:db8:100::/48"];
    let mut lab = Lab::new().unwrap();
    let hosts = ["g1", "g2"].map(|name| lab.add_host(name).unwrap());
    let mut upstream = lab.add_upstream("up", &prefixes).unwrap();
    let uplinks = hosts.each_ref().map(|host| {
        let uplink = upstream.add_link(host).unwrap();
        for (address, length) in uplink.addresses().into_iter().zip([30, 64]) {
            let device = uplink.interface();
            let quiet = format!("ipv6/conf/{device}/disable_ipv6");
            host.netns().sysctl(&quiet, "0").unwrap();
            let add = format!("addr add {address}/{length} dev {device}");
            host.netns().ip(&add).unwrap();
        }
        uplink
    });
    let limit = Duration::from_secs(5);
    upstream.wait_next_hops(2).unwrap();
    for uplink in &uplinks {
        for address in uplink.addresses() {
            upstream.netns().ping_until(address, limit).unwrap();
        }
    }
    uplinks[0].cut().unwrap();
    upstream.wait_next_hops(1).unwrap();
    uplinks[0].mend().unwrap();
    upstream.wait_next_hops(2).unwrap();
    hosts[1].power_off(&[&uplinks[1]]).unwrap();
    upstream.wait_next_hops(1).unwrap();
    for outside in OUTSIDE {
        upstream.netns().ping_until(outside, limit).unwrap();
    }
}

#[test]
fn nothing_is_left_of_a_lab() {
    let mut lab = Lab::new().unwrap();
    let host = lab.add_host("h1").unwrap();
    let (dir, netns) = (lab.dir().to_owned(), host.netns().path());
    assert!(dir.exists() && netns.exists());
    drop(lab);
    assert!(!dir.exists() && !netns.exists());
}

#[test]
fn the_next_lab_cleans_up_after_a_crash() {
    let me = std::env::current_exe().unwrap();
    let output = Command::new(me)
        .args(["--exact", "crashes_with_a_lab_open", "--nocapture"])
        .env(CRASH, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let fields = said
        .lines()
        .find_map(|l| l.strip_prefix("crash: "))
        .unwrap_or_else(|| {
            panic!(
                "no word from the crash: {said}{}",
                String::from_utf8_lossy(&output.stderr)
            )
        });
    let [netns, pid] = fields.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{fields}")
    };
    let _lab = Lab::new().unwrap();
    // another test's lab may be the one that cleans up just now
    let gone = || !Path::new(netns).exists() && !Path::new("/proc").join(pid).exists();
    until("removal of what crashed", Duration::from_secs(10), || {
        gone().then_some(())
    })
    .unwrap();
}

/// Not a test by itself: the other half of `the_next_lab_cleans_up_after_a_crash`.
#[test]
fn crashes_with_a_lab_open() {
    if std::env::var_os(CRASH).is_none() {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let host = lab.add_host("h1").unwrap();
    // without our output, or whoever reads it would wait for the sleeper
    let mut sleeper = host.netns().command("sleep").unwrap();
    let sleeper = sleeper
        .arg("600")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    println!("crash: {} {}", host.netns().path().display(), sleeper.id());
    std::process::abort();
}

#[test]
fn a_missing_program_is_named() {
    let error = program("midonet-nothing").unwrap_err().to_string();
    assert!(
        error.contains("midonet-nothing") && error.contains("cargo build"),
        "{error}"
    );
}

#[test]
fn the_bpf_file_system_is_there() {
    let _lab = Lab::new().unwrap();
    assert!(
        fs::read_to_string("/proc/mounts")
            .unwrap()
            .contains("/sys/fs/bpf bpf")
    );
}
