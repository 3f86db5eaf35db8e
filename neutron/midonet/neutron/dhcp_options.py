"""Which of a port's extra DHCP options are refused before they are stored.

The cluster makes bytes of them (`crates/neutron-model/src/dhcp_option`). It has the same lists, in
the same words, and a test there compares the two.
"""

import functools
import ipaddress
import re

from midonet.neutron.common import exceptions

# Tags of dnsmasq that Neutron's own DHCP agent sets.
TAG = re.compile(r"tag:!?ipxe6?,(?P<name>.*)", re.DOTALL)
LABEL = re.compile(r"[!-~]{1,63}")
TIME = re.compile(r"infinite|(?P<count>[0-9]{1,10})(?P<unit>[smhdw]?)")
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
NUMBER = re.compile(r"-?[0-9]{1,10}|0x[0-9a-fA-F]{1,8}")


def check(port):
    """Refuse what hosts could not be told: an unknown option, a value that is none for it."""
    for option in port.get("extra_dhcp_opts") or ():
        name, value = option["opt_name"], option["opt_value"] or ""
        version = int(option.get("ip_version") or 4)
        try:
            kind = _kind(version, name)
            if value.strip():
                kind(version, value.strip())
        except ValueError as error:
            raise exceptions.UnsupportedDhcpOption(
                name=name, value=value, version=version, reason=error
            ) from error


def _kind(version, name):
    """Find the check of the values of an option by its name or number."""
    names, reserved, last = (V4, RESERVED_V4, 254) if version == 4 else (V6, RESERVED_V6, 65535)
    tagged = TAG.fullmatch(name)
    name = tagged["name"] if tagged else name
    if name.startswith("tag:"):
        raise ValueError("only the tag ipxe is known")
    if name.isascii() and name.isdigit():
        code = int(name)
        if not 1 <= code <= last or code in reserved:
            raise ValueError("an option with this number cannot be given")
        return dict(names.values()).get(code, anything)
    plain = name.lower().replace("_", "-")
    if plain not in names:
        raise ValueError("it is neither the number nor a known name of a DHCP option")
    return names[plain][1]


# What values can be. Each raises ValueError for one that is not.


def _parts(value):
    return [part.strip() for part in value.split(",")]


def addresses(version, value):
    """IP addresses of the version; IPv6 ones may stand in brackets."""
    for part in _parts(value):
        _address(version, part)


def _address(version, part):
    if version == 6 and part.startswith("[") and part.endswith("]"):
        part = part[1:-1]
    if "%" in part or ipaddress.ip_address(part).version != version:
        raise ValueError(f"'{part}' is not an IPv{version} address")


def number(size):
    """Make the check of a number of so many bytes."""
    return functools.partial(_number, 8 * size)


def _number(bits, version, value):
    if not NUMBER.fullmatch(value):
        raise ValueError(f"'{value}' is not a number")
    base = 16 if value.startswith("0x") else 10
    if not -(1 << bits - 1) <= int(value, base) < 1 << bits:
        raise ValueError(f"{value} is not a number of {bits} bits")


def time(version, value):
    """Seconds, or another unit: 15m, 2h, 7d, 1w, infinite."""
    match = TIME.fullmatch(value)
    if not match or int(match["count"] or 0) * SECONDS[match["unit"] or ""] >= 1 << 32:
        raise ValueError(f"'{value}' is not a time")


def text(version, value):
    """Any characters."""


def domains(version, value):
    """Domain names."""
    for part in _parts(value):
        name = part.removesuffix(".")
        if len(name) > 253 or not all(LABEL.fullmatch(label) for label in name.split(".")):
            raise ValueError(f"'{part}' is not a domain name")


def routes(version, value):
    """Prefix and next hop, prefix and next hop."""
    parts = _parts(value)
    if len(parts) % 2:
        raise ValueError("a prefix without its next hop")
    for prefix, hop in zip(parts[::2], parts[1::2], strict=True):
        if not re.fullmatch(r"[0-9.]+(/[0-9]{1,2})?", prefix):
            raise ValueError(f"'{prefix}' is not an IPv4 prefix")
        ipaddress.IPv4Network(prefix, strict=False)
        ipaddress.IPv4Address(hop)


def sip(version, value):
    """Addresses or domain names."""
    try:
        addresses(version, value)
    except ValueError:
        domains(version, value)


def time_servers(version, value):
    """Addresses and domain names."""
    for part in _parts(value):
        sip(version, part)


texts = text
anything = text

# What the server says itself: types, identifiers, leases, what the client asked.
RESERVED_V4 = frozenset({50, 52, 53, 54, 55, 56, 57, 61, 82})
RESERVED_V6 = frozenset({1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 18, 19, 20, 25, 26})

V4 = {
    "netmask": (1, addresses),
    "time-offset": (2, number(4)),
    "router": (3, addresses),
    "dns-server": (6, addresses),
    "log-server": (7, addresses),
    "lpr-server": (9, addresses),
    "hostname": (12, text),
    "boot-file-size": (13, number(2)),
    "domain-name": (15, text),
    "swap-server": (16, addresses),
    "root-path": (17, text),
    "extension-path": (18, text),
    "ip-forward-enable": (19, number(1)),
    "non-local-source-routing": (20, number(1)),
    "policy-filter": (21, addresses),
    "max-datagram-reassembly": (22, number(2)),
    "default-ttl": (23, number(1)),
    "mtu": (26, number(2)),
    "all-subnets-local": (27, number(1)),
    "broadcast": (28, addresses),
    "router-discovery": (31, number(1)),
    "router-solicitation": (32, addresses),
    "static-route": (33, addresses),
    "trailer-encapsulation": (34, number(1)),
    "arp-timeout": (35, number(4)),
    "ethernet-encap": (36, number(1)),
    "tcp-ttl": (37, number(1)),
    "tcp-keepalive": (38, number(4)),
    "nis-domain": (40, text),
    "nis-server": (41, addresses),
    "ntp-server": (42, addresses),
    "vendor-encap": (43, anything),
    "netbios-ns": (44, addresses),
    "netbios-dd": (45, addresses),
    "netbios-nodetype": (46, number(1)),
    "netbios-scope": (47, anything),
    "x-windows-fs": (48, addresses),
    "x-windows-dm": (49, addresses),
    "lease-time": (51, time),
    "t1": (58, time),
    "t2": (59, time),
    "vendor-class": (60, anything),
    "nis+-domain": (64, text),
    "nis+-server": (65, addresses),
    "tftp-server": (66, text),
    "bootfile-name": (67, text),
    "mobile-ip-home": (68, addresses),
    "smtp-server": (69, addresses),
    "pop3-server": (70, addresses),
    "nntp-server": (71, addresses),
    "irc-server": (74, addresses),
    "client-arch": (93, number(2)),
    "client-interface-id": (94, anything),
    "client-machine-id": (97, anything),
    "posix-timezone": (100, text),
    "tzdb-timezone": (101, text),
    "ipv6-only": (108, number(4)),
    "domain-search": (119, domains),
    "sip-server": (120, sip),
    "classless-static-route": (121, routes),
    "vendor-id-encap": (125, anything),
    "tftp-server-address": (150, addresses),
    "path-prefix": (210, text),
    "ms-classless-static-route": (249, routes),
    "wpad": (252, text),
    "server-ip-address": (255, addresses),
}

V6 = {
    "preference": (7, number(1)),
    "vendor-opts": (17, anything),
    "sip-server-domain": (21, domains),
    "sip-server": (22, addresses),
    "dns-server": (23, addresses),
    "domain-search": (24, domains),
    "nis-server": (27, addresses),
    "nis+-server": (28, addresses),
    "nis-domain": (29, domains),
    "nis+-domain": (30, domains),
    "sntp-server": (31, addresses),
    "information-refresh-time": (32, time),
    "posix-timezone": (41, text),
    "tzdb-timezone": (42, text),
    "ntp-server": (56, time_servers),
    "bootfile-url": (59, text),
    "bootfile-param": (60, texts),
}
