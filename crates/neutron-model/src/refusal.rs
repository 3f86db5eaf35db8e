//! Why a request is refused.

use api::neutron::Kind;
use uuid::Uuid;

/// A request that changes nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such resource.
    #[error("{kind} {id} does not exist")]
    NotFound {
        /// Kind of the resource.
        kind: Kind,
        /// Its id.
        id: Uuid,
    },
    /// A field names a resource that does not exist.
    #[error("{property} names {kind} {id}, which does not exist")]
    UnknownReference {
        /// The field.
        property: String,
        /// Kind of the resource it names.
        kind: Kind,
        /// Id of the resource it names.
        id: Uuid,
    },
    /// The id is taken.
    #[error("{kind} {id} exists already")]
    Exists {
        /// Kind of the resource.
        kind: Kind,
        /// Its id.
        id: Uuid,
    },
    /// Something needs the resource.
    #[error("{kind} {id} is in use by {user_kind} {user}")]
    InUse {
        /// Kind of the resource.
        kind: Kind,
        /// Its id.
        id: Uuid,
        /// Kind of one that needs it.
        user_kind: Kind,
        /// Id of one that needs it.
        user: Uuid,
    },
    /// The port belongs to another router.
    #[error("port {port} is an interface of router {router}")]
    OtherRouter {
        /// The port.
        port: Uuid,
        /// The router it belongs to.
        router: Uuid,
    },
    /// The cluster has a newer one.
    #[error("revision_number {given} of {kind} {id} is older than {stored}, which is stored")]
    Stale {
        /// Kind of the resource.
        kind: Kind,
        /// Its id.
        id: Uuid,
        /// Revision in the request.
        given: u64,
        /// Revision in the store.
        stored: u64,
    },
    /// A field has a value that cannot be.
    #[error("{property}: {message}")]
    Invalid {
        /// The field.
        property: String,
        /// What is wrong with it.
        message: String,
    },
    /// Every tunnel key is in use.
    #[error(
        "no tunnel key is left: {} networks, routers and ports exist",
        crate::TUNNEL_KEY_MAX
    )]
    KeysExhausted,
}

impl Refusal {
    pub(crate) fn invalid(property: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal::Invalid {
            property: property.into(),
            message: message.into(),
        }
    }

    /// The same about a field of a part of the body.
    pub(crate) fn within(self, part: &str) -> Self {
        match self {
            Refusal::Invalid { property, message } => Refusal::Invalid {
                property: format!("{part}.{property}"),
                message,
            },
            Refusal::UnknownReference { property, kind, id } => Refusal::UnknownReference {
                property: format!("{part}.{property}"),
                kind,
                id,
            },
            other => other,
        }
    }
}
