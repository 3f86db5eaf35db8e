//! Learning: where the stations are that Neutron does not know of, on this host and on others.
//!
//! What a frame says of who is behind its port (`sim::stations_of`) goes into the snapshot at once,
//! and to the agents of all hosts that frames for it can come from, by UDP between their underlay
//! addresses. Nothing of it is in the store, and nothing waits for the cluster.
//!
//! | file | idea |
//! |---|---|
//! | `book` | what is known since when, and whose word is newer: times, versions, what is due |
//! | `carrier` | whether gateways' interfaces are alive |
//! | `claim` | what agents tell each other, as bytes with a seal |
//! | `hearing` | the world learns, from its own ports and from other agents |
//! | `channel` | the socket |

mod book;
mod carrier;
mod channel;
mod claim;
mod hearing;

pub use book::Book;
pub use carrier::Carriers;
pub use channel::{Channel, open};
pub use claim::{Claim, Message, Seal};
pub use hearing::{Copies, Speech};
