"""Extra DHCP options: what is refused before anything is stored."""

import pytest
from neutron.plugins.ml2.common.exceptions import MechanismDriverError

from midonet.neutron import dhcp_options
from midonet.neutron.common import exceptions


def option(name, value, version=4):
    return {"opt_name": name, "opt_value": value, "ip_version": version}


GOOD = [
    option("mtu", "1400"),
    option("26", "0x578"),
    option("time-offset", "-3600"),
    option("router", ""),
    option("T1", "2h"),
    option("lease_time", "infinite"),
    option("dns-server", "10.0.0.1, 10.0.0.2"),
    option("bootfile-name", "http://a/b,c"),
    option("tag:ipxe,67", "script"),
    option("tag:!ipxe,bootfile-name", "loader"),
    option("domain-search", "a.example., b.example"),
    option("classless-static-route", "0.0.0.0/0,10.0.0.1,192.0.2.7,10.0.0.2"),
    option("sip-server", "10.0.0.1"),
    option("sip-server", "sip.example"),
    option("server-ip-address", "10.0.0.9"),
    option("224", "01:02"),
    option("dns-server", "[fd00::1],fd00::2", 6),
    option("23", "fd00::1", 6),
    option("ntp-server", "fd00::1,ntp.example", 6),
    option("bootfile-param", "a,b", 6),
    option("40000", "x", 6),
]
BAD = [
    option("nosuch", "1"),
    option("", "1"),
    option("message-type", "1"),
    option("53", "1"),
    option("255", "10.0.0.1"),
    option("²", "1"),
    option("tag:red,67", "x"),
    option("mtu", "large"),
    option("mtu", "65536"),
    option("mtu", "1_400"),
    option("default-ttl", "256"),
    option("T1", "5x"),
    option("T1", "8000w"),
    option("router", "10.0.0"),
    option("router", "fd00::1"),
    option("router", "10.0.0.1,,10.0.0.2"),
    option("domain-search", "a..b"),
    option("domain-search", "a" * 64),
    option("classless-static-route", "192.0.2.0/24"),
    option("classless-static-route", "192.0.2.0/33,10.0.0.1"),
    option("classless-static-route", "192.0.2.0/255.255.255.0,10.0.0.1"),
    option("classless-static-route", "192.0.2.0/24,gw"),
    option("router", "fd00::1", 6),
    option("3", "x", 6),
    option("dns-server", "10.0.0.1", 6),
    option("dns-server", "fe80::1%eth0", 6),
]


def test_what_hosts_can_be_told_is_accepted():
    dhcp_options.check({"extra_dhcp_opts": GOOD})
    dhcp_options.check({"extra_dhcp_opts": []})
    dhcp_options.check({})


@pytest.mark.parametrize("bad", BAD, ids=lambda o: f"{o['opt_name']}={o['opt_value']}")
def test_what_they_cannot_be_told_is_refused_by_name(bad):
    with pytest.raises(exceptions.UnsupportedDhcpOption) as refusal:
        dhcp_options.check({"extra_dhcp_opts": [*GOOD, bad]})
    assert f"'{bad['opt_name']}'" in str(refusal.value)


def test_a_refused_option_leaves_no_row(make, core, context, rows):
    network = make.network()
    port = make.port(network)
    before = rows()
    extra = {"extra_dhcp_opts": [option("mtu", "large")]}
    with pytest.raises(MechanismDriverError) as refusal:
        make.port(network, **extra)
    assert isinstance(refusal.value.inner_exceptions[0], exceptions.UnsupportedDhcpOption)
    with pytest.raises(MechanismDriverError):
        core.update_port(context, port["id"], {"port": extra})
    assert rows() == before
