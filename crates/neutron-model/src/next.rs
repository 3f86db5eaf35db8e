//! The resources as a request will leave them.

use crate::State;
use api::neutron::{Kind, Network, Port, Resource, Subnet};
use uuid::Uuid;

/// What is kept, with the one resource that the request is about put or taken away.
#[derive(Clone, Copy)]
pub(crate) struct Next<'a> {
    pub state: &'a State,
    change: Change<'a>,
}

#[derive(Clone, Copy)]
enum Change<'a> {
    Put(&'a Resource),
    Gone(Kind, Uuid),
}

macro_rules! getters {
    ($($name:ident: $kind:ident;)*) => {$(
        pub fn $name(self, id: Uuid) -> Option<&'a $kind> {
            match self.change {
                Change::Put(Resource::$kind(changed)) if changed.id == id => Some(changed),
                Change::Gone(Kind::$kind, gone) if gone == id => None,
                _ => self.state.neutron.$name(id),
            }
        }
    )*};
}

impl<'a> Next<'a> {
    getters! {
        network: Network;
        subnet: Subnet;
        port: Port;
    }

    pub fn with(changed: &'a Resource, state: &'a State) -> Self {
        let change = Change::Put(changed);
        Self { state, change }
    }

    pub fn without(kind: Kind, id: Uuid, state: &'a State) -> Self {
        let change = Change::Gone(kind, id);
        Self { state, change }
    }
}
