//! Whole commands against services that answer from a table; what they print is compared as text.

mod fake;

use super::*;
use fake::{agent_at, cluster_at, openstack_at};
use serde_json::{Value, json};

const PORT: &str = "11111111-0000-0000-0000-000000000000";
const OTHER: &str = "22222222-0000-0000-0000-000000000000";
const RULE: &str = "33333333-0000-0000-0000-000000000000";

/// Runs a command line; what it printed and whether its status was success.
fn run_line(line: &str) -> (String, bool) {
    let called = Midonet::try_parse_from(line.split(' ')).unwrap();
    let mut printed = Vec::new();
    let status = run(called, &mut printed).unwrap();
    (
        String::from_utf8(printed).unwrap(),
        status == ExitCode::SUCCESS,
    )
}

fn printed(line: &str) -> String {
    run_line(line).0
}

fn host(name: &str, alive: bool, lag: u64) -> Value {
    json!({
        "id": OTHER, "name": name, "tunnel": "192.0.2.1", "alive": alive,
        "version": if alive { "0.1.0" } else { "" }, "revision": 40, "lag": lag,
        "since_seconds": alive.then_some(7500), "ports_total": 3, "ports_up": 2,
        "draining": false, "zone": "", "uplinks": [], "down": [],
        "counters": {"decisions": 17, "upcalls": 1234, "drops": 5},
    })
}

fn status() -> Value {
    json!({
        "cluster": {
            "version": "0.1.0", "instance": RULE, "revision": 41,
            "counts": {
                "networks": 2, "subnets": 4, "ports": 9, "routers": 1, "floating_ips": 0,
                "security_groups": 1, "security_group_rules": 4,
            },
        },
        "hosts": [host("compute-1", true, 0), host("compute-2", false, 9)],
    })
}

#[test]
fn status_shows_hosts_and_lag() {
    let root = cluster_at(vec![("GET /status", status())]);
    assert_eq!(
        printed(&format!("midonet status --token t --cluster {root}")),
        format!(
            "cluster   {root}, version 0.1.0
store     {RULE}, revision 41
neutron   2 networks, 4 subnets, 9 ports, 1 routers, 0 floating IPs, 1 security groups with 4 rules
hosts     2 known, 1 alive

HOST       STATE  SINCE      VERSION  LAG  PORTS  UP  DECISIONS  UPCALLS  DROPS
compute-1  alive  2 h 5 min  0.1.0      0      3   2         17     1234      5
compute-2  dead   -          -          9      3   2         17     1234      5
"
        )
    );
}

#[test]
fn hosts_shows_ids_and_addresses() {
    let root = cluster_at(vec![("GET /status", status())]);
    assert_eq!(
        printed(&format!("midonet hosts --token t --cluster {root}")),
        format!(
            "HOST       ID                                    STATE  TUNNEL     VERSION  PORTS
compute-1  {OTHER}  alive  192.0.2.1  0.1.0        3
compute-2  {OTHER}  dead   192.0.2.1  -            3
"
        )
    );
}

#[test]
fn json_is_the_answer_as_it_came() {
    let root = cluster_at(vec![("GET /status", status())]);
    let text = printed(&format!("midonet status --json --token t --cluster {root}"));
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), status());
}

#[test]
fn topology_asks_for_kind_and_host_and_describes_ports() {
    let port = json!({
        "id": PORT, "name": "vm1", "bridge": OTHER, "admin_up": false, "mac": "fa:16:3e:00:00:01",
        "addresses": [{"ip": "10.0.0.3", "subnet": RULE}], "key": 7, "security": null,
        "link": {"host": {"host": "compute-1", "interface": null}},
    });
    let objects = json!([{"revision": 12, "object": {"port": port}}]);
    let objects = json!({"instance": RULE, "revision": 41, "objects": objects});
    let root = cluster_at(vec![("GET /topology?kind=port&host=compute-1", objects)]);
    let line = "midonet topology show --kind port --host compute-1 --token t --cluster";
    assert_eq!(
        printed(&format!("{line} {root}")),
        format!(
            "KIND  ID                                    NAME  REVISION  WHAT
port  {PORT}  vm1         12  fa:16:3e:00:00:01 10.0.0.3 on host compute-1 trusted, down
"
        )
    );
}

#[test]
fn topology_describes_the_outside() {
    let plug = json!({
        "id": PORT, "name": "eth1", "bridge": OTHER, "admin_up": true, "mac": "02:00:00:00:00:01",
        "addresses": [], "key": 7, "security": null, "outside": true,
        "link": {"host": {"host": "gw1", "interface": "eth1", "vlan": 100}},
    });
    let router = json!({
        "id": OTHER, "name": "r", "admin_up": true, "key": 8, "gateway": {"port": PORT, "snat": true},
        "routes": [{"destination": "0.0.0.0/0", "nexthop": "203.0.113.1"}],
    });
    let forwarding = json!({
        "id": RULE, "address": "203.0.113.9", "bridge": OTHER, "router": OTHER, "port": PORT,
        "fixed": "10.0.0.5", "forwarded": {"protocol": 6, "external": {"first": 80, "last": 89},
                                           "internal": {"first": 8080, "last": 8080}},
    });
    let objects = [
        ("port", plug),
        ("router", router),
        ("floating_ip", forwarding),
    ];
    let objects = objects.map(|(kind, object)| json!({"revision": 1, "object": {kind: object}}));
    let objects = json!({"instance": RULE, "revision": 41, "objects": objects});
    let root = cluster_at(vec![("GET /topology?kind=floating_ip", objects)]);
    let line = "midonet topology show --kind floating-ip --token t --cluster";
    let shown = printed(&format!("{line} {root}"));
    for wanted in [
        "02:00:00:00:00:01 VLAN 100 of eth1 on host gw1 outside trusted".to_owned(),
        format!("1 routes, gateway port {PORT}, SNAT"),
        format!("tcp 80-89 to 10.0.0.5 8080 of port {PORT} by router {OTHER}"),
    ] {
        assert!(shown.contains(&wanted), "no '{wanted}' in\n{shown}");
    }
}

#[test]
fn trace_shows_each_step_and_the_cause() {
    let cause = json!({
        "kind": "security_group_rule", "id": RULE, "name": "", "detail": "egress IPv4 tcp 80",
    });
    let step = |name: &str, what: &str, cause: Value| {
        let device = json!({"kind": "port", "id": PORT, "name": name});
        json!({"device": device, "what": what, "cause": cause})
    };
    let group = json!({"kind": "security_group", "id": OTHER, "name": "default"});
    let trace = json!({
        "revision": 41, "frame": "00",
        "steps": [step("vm1", "allowed to send", cause), step("", "not allowed in", Value::Null)],
        "verdict": {"drop": {"reason": "security_group_ingress", "cause": group}},
    });
    let root = cluster_at(vec![("POST /traces/run", trace)]);
    let line = format!("midonet trace --port {PORT} --dst 10.0.0.4 --proto tcp --dport 80");
    assert_eq!(
        printed(&format!("{line} --token t --cluster {root}")),
        format!(
            " 1. port {PORT} (vm1): allowed to send
    security group rule {RULE}: egress IPv4 tcp 80
 2. port {PORT}: not allowed in
=> dropped: security_group_ingress, because of security group {OTHER} (default)
"
        )
    );
}

#[test]
fn flows_shows_the_busiest_first() {
    let flow = |id: u32, packets: u64, action: &str, cause: Value| {
        json!({
            "id": id, "port": PORT, "matching": ["state=forward", "dport=80"], "action": action,
            "packets": packets, "bytes": packets * 60, "tags": [], "cause": cause,
        })
    };
    let flows = json!([
        flow(4, 1, "drop", json!(RULE)),
        flow(9, 70, "to tap", Value::Null)
    ]);
    let socket = agent_at(vec![("GET /flows", flows)]);
    assert_eq!(
        printed(&format!("midonet flows --socket {}", socket.display())),
        format!(
            "FLOW  PORT                                  PACKETS  BYTES  ACTION  CAUSE                                 MATCH
   9  {PORT}       70   4200  to tap  -                                     state=forward dport=80
   4  {PORT}        1     60  drop    {RULE}  state=forward dport=80
"
        )
    );
}

#[test]
fn connections_are_shown_with_their_ends() {
    let connection = json!({
        "port": PORT, "protocol": 6, "source": "fd00::1", "destination": "fd00::2",
        "source_port": 4000, "destination_port": 80, "state": "reply", "closing": true,
        "translated": {"source": "fd00::9", "source_port": 5000,
                       "destination": "fd00::2", "destination_port": 80},
        "flow": 0, "packets": 8, "bytes": 800,
    });
    let socket = agent_at(vec![("GET /connections", json!([connection]))]);
    assert_eq!(
        printed(&format!("midonet flows --connections --socket {}", socket.display())),
        format!(
            "PORT OR ROUTER                        PROTOCOL  SOURCE          DESTINATION   BECOMES              STATE           FLOW  PACKETS  BYTES
{PORT}  tcp       [fd00::1]:4000  [fd00::2]:80  from [fd00::9]:5000  reply, closing  -           8    800
"
        )
    );
}

#[test]
fn drops_names_reason_and_cause() {
    let drop = |port: Value, reason: &str, packets: u64| {
        let bytes = 60;
        json!({"port": port, "reason": reason, "packets": packets, "bytes": bytes, "cause": null})
    };
    let drops = [
        drop(Value::Null, "tunnel_key_unknown", 1),
        drop(json!(PORT), "spoofed_ip", 20),
    ];
    let socket = agent_at(vec![("GET /drops", json!(drops))]);
    assert_eq!(
        printed(&format!("midonet drops --socket {}", socket.display())),
        format!(
            "REASON              PORT OR ROUTER                        PACKETS  BYTES  CAUSE
spoofed_ip          {PORT}       20     60  -
tunnel_key_unknown  (tunnel)                                    1     60  -
"
        )
    );
}

#[test]
fn stations_are_shown_with_port_and_host() {
    let station = json!({
        "network": PORT, "mac": "00:00:5e:00:01:33", "address": "10.0.0.9", "port": PORT,
        "host": "h1", "seconds": 7,
    });
    let socket = agent_at(vec![("GET /stations", json!([station]))]);
    let shown = printed(&format!("midonet stations --socket {}", socket.display()));
    let row = format!("{PORT}  00:00:5e:00:01:33  10.0.0.9  {PORT}  h1    7 s ago\n");
    assert!(shown.ends_with(&row), "{shown}");
}

#[test]
fn bind_says_what_it_did() {
    let path: &'static str = "PUT /binding/11111111-0000-0000-0000-000000000000";
    let socket = agent_at(vec![(path, Value::Null)]);
    assert_eq!(
        printed(&format!(
            "midonet bind {PORT} tap0 --socket {}",
            socket.display()
        )),
        format!("tap0 is plugged into port {PORT}\n")
    );
}

#[test]
fn an_audit_compares_all_kinds_and_fails_on_a_difference() {
    let network = |mtu: u16| json!({"id": OTHER, "name": "blue", "mtu": mtu});
    let cluster = cluster_at(fake::neutron_lists(json!([network(1500)])));
    let neutron = openstack_at(json!([network(1450)]));
    let report = |neutron: &str| {
        let keystone = client::Keystone {
            url: neutron.to_owned(),
            username: "u".to_owned(),
            password: "p".to_owned(),
            project: "admin".to_owned(),
            user_domain: "Default".to_owned(),
            project_domain: "Default".to_owned(),
            region: None,
            neutron: None,
        };
        let openstack = client::OpenStack::login(&keystone).unwrap();
        let cluster = client::Cluster::new(&cluster, client::Credentials::Token("t".to_owned()));
        audit::audit(&openstack, &cluster).unwrap()
    };
    assert_eq!(
        audit::render(&report(&neutron)).lines().next().unwrap(),
        format!("network {OTHER} (blue): mtu: Neutron 1450, cluster 1500")
    );
    let same = openstack_at(json!([network(1500)]));
    let said = audit::render(&report(&same));
    assert!(
        said.starts_with("no difference in ") && said.contains(" 1 networks, "),
        "{said}"
    );
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory;
    Midonet::command().debug_assert();
}
