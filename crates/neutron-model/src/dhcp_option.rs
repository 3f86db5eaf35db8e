//! `extra_dhcp_opts` of a port: options by name or number, with their values as text.
//!
//! Neutron leaves both to whoever answers DHCP, and its reference is dnsmasq: the names are those
//! of `dnsmasq --help dhcp` and `--help dhcp6`, the values are written as for `--dhcp-option`.

mod names;
mod value;

use crate::Refusal;
use api::neutron::{DhcpOption, Port};
use names::Named;
use topology::Family;

pub(crate) use value::Kind;

/// Tags of dnsmasq that Neutron's own DHCP agent sets: the client is iPXE.
const IPXE: [&str; 2] = ["ipxe", "ipxe6"];

pub(crate) fn translate(port: &Port) -> Result<Vec<topology::DhcpOption>, Refusal> {
    let options = port.extra_dhcp_opts.iter().enumerate();
    options
        .map(|(i, option)| {
            one(option).map_err(|refusal| refusal.within(&format!("extra_dhcp_opts[{i}]")))
        })
        .collect()
}

fn one(option: &DhcpOption) -> Result<topology::DhcpOption, Refusal> {
    let family = match option.ip_version {
        None | Some(4) => Family::V4,
        Some(6) => Family::V6,
        Some(other) => {
            let message = format!("{other} is neither 4 nor 6");
            return Err(Refusal::invalid("ip_version", message));
        }
    };
    let bad_name = |message| Refusal::invalid("opt_name", message);
    let (ipxe, name) = split_tag(&option.opt_name).map_err(bad_name)?;
    let Named { code, kind } = names::find(family, name).map_err(bad_name)?;
    let text = option.opt_value.as_deref().unwrap_or_default();
    let data = kind
        .encode(family, text)
        .map_err(|message| Refusal::invalid("opt_value", message))?;
    Ok(topology::DhcpOption {
        family,
        code,
        data,
        ipxe,
    })
}

/// `tag:ipxe,67` is for iPXE only, `tag:!ipxe,67` for all others.
fn split_tag(name: &str) -> Result<(Option<bool>, &str), String> {
    let Some((tag, rest)) = name.strip_prefix("tag:").and_then(|t| t.split_once(',')) else {
        return Ok((None, name));
    };
    let (wanted, tag) = match tag.strip_prefix('!') {
        Some(tag) => (false, tag),
        None => (true, tag),
    };
    if IPXE.contains(&tag) {
        return Ok((Some(wanted), rest));
    }
    Err(format!("'{}' is not the tag ipxe", shown(tag)))
}

/// A piece of a request, short enough for a message.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}
