//! The Neutron resources that the cluster keeps, by the names that its API and Neutron's use.

/// A kind of Neutron resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the variants are Neutron's own words")]
pub enum Resource {
    Network,
    Subnet,
    Port,
    Router,
    FloatingIp,
    SecurityGroup,
    SecurityGroupRule,
}

impl Resource {
    /// All of them, each after those it refers to.
    pub const ALL: [Resource; 7] = [
        Resource::Network,
        Resource::Subnet,
        Resource::SecurityGroup,
        Resource::SecurityGroupRule,
        Resource::Router,
        Resource::Port,
        Resource::FloatingIp,
    ];

    /// One of it, as the cluster writes it.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Network => "network",
            Resource::Subnet => "subnet",
            Resource::Port => "port",
            Resource::Router => "router",
            Resource::FloatingIp => "floating_ip",
            Resource::SecurityGroup => "security_group",
            Resource::SecurityGroupRule => "security_group_rule",
        }
    }

    /// The collection in the cluster's index.
    pub fn collection(self) -> String {
        format!("{}s", self.name())
    }

    /// One of it, as Neutron writes it.
    pub fn neutron_name(self) -> &'static str {
        if self == Resource::FloatingIp {
            "floatingip"
        } else {
            self.name()
        }
    }

    /// Path of the collection in Neutron's API.
    pub fn neutron_path(self) -> String {
        format!("{}s", self.neutron_name()).replace('_', "-")
    }

    /// The word in MidoNet's media types.
    pub fn media_name(self) -> &'static str {
        match self {
            Resource::Network => "Network",
            Resource::Subnet => "Subnet",
            Resource::Port => "Port",
            Resource::Router => "Router",
            Resource::FloatingIp => "FloatingIp",
            Resource::SecurityGroup => "SecurityGroup",
            Resource::SecurityGroupRule => "SecurityGroupRule",
        }
    }

    /// Media type of one of it.
    pub(crate) fn media_type(self) -> String {
        format!(
            "application/vnd.org.midonet.neutron.{}-v1+json",
            self.media_name()
        )
    }

    /// Media type of a list of it.
    pub(crate) fn list_media_type(self) -> String {
        format!(
            "application/vnd.org.midonet.neutron.{}s-v1+json",
            self.media_name()
        )
    }
}
