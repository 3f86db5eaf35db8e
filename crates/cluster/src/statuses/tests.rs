//! What Neutron is told, report by report.

use super::*;

fn host(n: u128) -> HostId {
    HostId(Uuid::from_u128(n))
}

fn port(n: u128) -> PortId {
    PortId(Uuid::from_u128(n))
}

fn told(statuses: &Statuses, since: u64) -> (u64, Vec<(u128, bool)>) {
    let feed = statuses.since(since).unwrap();
    let ports = feed
        .ports
        .iter()
        .map(|p| (p.id.as_u128(), p.status == PortState::Active));
    (feed.cursor, ports.collect())
}

#[test]
fn a_change_is_told_once_and_what_did_not_change_is_not() {
    let statuses = Statuses::awaiting([]);
    statuses.report(host(1), &[(port(1), true), (port(2), true)], true);
    let (cursor, ports) = told(&statuses, 0);
    assert_eq!(ports, [(1, true), (2, true)]);
    statuses.report(host(1), &[(port(1), true), (port(2), false)], false);
    let (next, ports) = told(&statuses, cursor);
    assert_eq!(ports, [(2, false)]);
    assert_eq!(told(&statuses, next).1, []);
    assert_eq!(told(&statuses, 0).1, [(1, true), (2, false)]);
    assert_eq!(told(&statuses, 1000).1.len(), 2, "a cursor of another run");
}

#[test]
fn what_a_whole_report_does_not_name_is_down() {
    let statuses = Statuses::awaiting([]);
    statuses.report(host(1), &[(port(1), true), (port(2), true)], true);
    statuses.report(host(2), &[(port(3), true)], true);
    statuses.report(host(1), &[(port(2), true)], true);
    assert_eq!(told(&statuses, 0).1, [(1, false), (2, true), (3, true)]);
    statuses.host_away(host(1));
    assert_eq!(told(&statuses, 0).1, [(1, false), (2, false), (3, true)]);
}

#[test]
fn a_port_that_moved_is_not_taken_down_by_the_host_it_left() {
    let statuses = Statuses::awaiting([]);
    statuses.report(host(1), &[(port(1), true)], true);
    statuses.report(host(2), &[(port(1), true)], false);
    statuses.report(host(1), &[(port(1), false)], false);
    statuses.host_away(host(1));
    assert!(statuses.is_up(port(1)));
    statuses.forget(&[port(1)]);
    assert_eq!(told(&statuses, 0).1, []);
}

#[test]
fn the_feed_waits_for_the_hosts_that_are_known() {
    let statuses = Statuses::awaiting([host(1), host(2)]);
    assert_eq!(statuses.since(0), None);
    statuses.report(host(1), &[(port(1), true)], true);
    assert_eq!(statuses.since(0), None);
    statuses.stop_awaiting();
    assert_eq!(told(&statuses, 0).1, [(1, true)]);
}
