//! A lease by `dhclient`, kept out of the machine's own files.

use crate::{LabError, Netns, error::Context, programs::run};
use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// What dhclient calls when it has something to tell: sets the interface as the lease says, and
/// writes down what it was given.
const SCRIPT: &str = r#"#!/bin/sh
# dhclient's hook for a lab VM: touches the VM's interface and nothing else.
case $reason in
BOUND | RENEW | REBIND | REBOOT)
    ip addr replace "$new_ip_address/$new_subnet_mask" dev "$interface"
    [ -z "$new_interface_mtu" ] || ip link set "$interface" mtu "$new_interface_mtu"
    # classless routes, when there are any, replace the routers (RFC 3442)
    if [ -n "$new_rfc3442_classless_static_routes" ]; then
        set -- $new_rfc3442_classless_static_routes
        while [ $# -gt 0 ]; do
            length=$1 && shift
            octets=$(((length + 7) / 8)) && network=
            while [ "$octets" -gt 0 ]; do
                network="$network$1." && shift && octets=$((octets - 1))
            done
            network=$(echo "${network}0.0.0.0" | cut -d. -f1-4)
            gateway="$1.$2.$3.$4" && shift 4
            case $gateway in
            0.0.0.0) ip route replace "$network/$length" dev "$interface" ;;
            *) ip route replace "$network/$length" via "$gateway" dev "$interface" onlink ;;
            esac
        done
    else
        for router in $new_routers; do ip route replace default via "$router" dev "$interface"; done
    fi
    env | grep '^new_' >"$LEASE_FILE.part" && mv "$LEASE_FILE.part" "$LEASE_FILE"
    ;;
esac
"#;

/// Ask at once and again soon; a lab has no time for the defaults.
const CONFIGURATION: &str = "\
option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
request subnet-mask, broadcast-address, routers, domain-name-servers, interface-mtu,
    rfc3442-classless-static-routes, domain-name, ntp-servers;
timeout 20;
retry 1;
initial-interval 1;
backoff-cutoff 2;
";

/// What DHCP gave.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// Everything, by dhclient's names without `new_`: `routers`, `interface_mtu` and so on.
    pub options: BTreeMap<String, String>,
}

/// Runs dhclient until it has a lease; it stays and renews.
pub(crate) fn acquire(
    netns: &Netns,
    interface: &str,
    dir: &Path,
    name: &str,
) -> Result<Lease, LabError> {
    let files = Files::write(dir, name)?;
    let mut command = netns.command("dhclient")?;
    command
        .env("LEASE_FILE", &files.told)
        .args(["-4", "-1", "-q", "-cf"])
        .arg(&files.configuration)
        .arg("-sf")
        .arg(&files.script)
        .arg("-pf")
        .arg(dir.join(format!("{name}.dhclient")))
        .arg("-lf")
        .arg(dir.join(format!("{name}.leases")))
        .args(["-e", &format!("LEASE_FILE={}", files.told.display())])
        .arg(interface);
    run(&mut command)?;
    let told =
        fs::read_to_string(&files.told).what(|| format!("reading {}", files.told.display()))?;
    let options: BTreeMap<String, String> = told
        .lines()
        .filter_map(|l| l.strip_prefix("new_")?.split_once('='))
        .map(own)
        .collect();
    let address = options.get("ip_address").and_then(|a| a.parse().ok());
    let address = address.ok_or_else(|| LabError::Unexpected {
        what: format!("lease of {name}"),
        detail: told.clone(),
    })?;
    Ok(Lease { address, options })
}

fn own((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// The files of one client.
struct Files {
    script: PathBuf,
    configuration: PathBuf,
    told: PathBuf,
}

impl Files {
    fn write(dir: &Path, name: &str) -> Result<Self, LabError> {
        let files = Self {
            script: dir.join(format!("{name}.dhclient-script")),
            configuration: dir.join(format!("{name}.dhclient.conf")),
            told: dir.join(format!("{name}.lease")),
        };
        let failed = || format!("writing dhclient's files in {}", dir.display());
        fs::write(&files.configuration, CONFIGURATION).what(failed)?;
        fs::write(&files.script, SCRIPT).what(failed)?;
        fs::set_permissions(&files.script, fs::Permissions::from_mode(0o755)).what(failed)?;
        // an old lease must not be taken for the new one
        let _ = fs::remove_file(&files.told);
        Ok(files)
    }
}
