//! Names of media types.

/// Any JSON.
pub const JSON: &str = "application/json";
/// The root document.
pub const APPLICATION: &str = "application/vnd.org.midonet.Application-v5+json";
/// The index of the Neutron resources.
pub const NEUTRON: &str = "application/vnd.org.midonet.neutron.Neutron-v3+json";
/// A session token.
pub const TOKEN: &str = "application/vnd.org.midonet.Token-v1+json";
/// An error.
pub const ERROR: &str = "application/vnd.org.midonet.Error-v1+json";
/// State of the system.
pub const SYSTEM_STATE: &str = "application/vnd.org.midonet.SystemState-v2+json";
/// A host.
pub const HOST: &str = "application/vnd.org.midonet.Host-v3+json";
/// Hosts.
pub const HOSTS: &str = "application/vnd.org.midonet.collection.Host-v3+json";
/// Ports bound to a host.
pub const HOST_PORTS: &str = "application/vnd.org.midonet.collection.HostInterfacePort-v1+json";
/// A tunnel zone.
pub const TUNNEL_ZONE: &str = "application/vnd.org.midonet.TunnelZone-v1+json";
/// Tunnel zones.
pub const TUNNEL_ZONES: &str = "application/vnd.org.midonet.collection.TunnelZone-v1+json";
/// A host's address in a tunnel zone.
pub const TUNNEL_ZONE_HOST: &str = "application/vnd.org.midonet.TunnelZoneHost-v1+json";
/// The hosts of a tunnel zone.
pub const TUNNEL_ZONE_HOSTS: &str = "application/vnd.org.midonet.collection.TunnelZoneHost-v1+json";
/// A router interface.
pub const ROUTER_INTERFACE: &str = "application/vnd.org.midonet.neutron.RouterInterface-v1+json";
