//! The datapath: decisions compiled into kernel tables, the kernel program's loader, the frames that
//! come up from it and go back into it.
//!
//! ```text
//! flow::Decision --compile--> Compiled --Table::install--> Maps (KernelMaps | FakeMaps)
//! kernel program --Upcalls--> agent --Injector--> kernel program
//! ```
//!
//! * [`Datapath`] loads the program, pins its maps and attaches it to devices.
//! * [`KernelMaps`] is a handle on the pinned maps; make as many as there are users.
//! * [`Table`] is the bookkeeping of the decision table over any [`Maps`].
//! * [`Upcalls`] and [`Injector`] are plain blocking objects for one thread of the agent.

mod checksum;
mod class;
mod compile;
mod device;
mod fake;
mod inject;
mod kernel;
mod limits;
mod maps;
mod pins;
mod pool;
mod program;
mod rehearse;
mod subports;
mod table;
mod upcall;

pub use class::widen;
pub use compile::{Compiled, Place, Places, compile};
pub use fake::FakeMaps;
pub use inject::{InjectError, Injector, Outgoing};
pub use kernel::KernelMaps;
pub use limits::{Direction, PacketLimit, Way};
pub use maps::{Maps, MapsError};
pub use pool::{Pool, PoolCounts};
pub use program::{AttachError, Datapath, Options, StartError};
pub use rehearse::{Entry, Rehearsal};
pub use table::{DecisionInfo, Table};
pub use upcall::{Frame, Upcalls};
