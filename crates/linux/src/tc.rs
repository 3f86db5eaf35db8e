//! Shaping by HTB: a root queueing discipline on a link, classes with a rate under it, and in each
//! class a queue of bounded length.
//!
//! Bits are those of Ethernet frames without preamble and checksum; of an aggregated frame all
//! segments count with their headers. A frame goes into the class that its `skb->priority` names as
//! a tc handle, else into the default one if the link was given one, else out without a limit.

mod htb;

use crate::{LinkError, Netlink, netlink::refused};
use futures_util::StreamExt;
use rtnetlink::{
    packet_core::{
        DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST,
        NetlinkMessage, NetlinkPayload,
    },
    packet_route::{
        RouteNetlinkMessage,
        tc::{TcAttribute, TcHandle, TcMessage, TcStats2},
    },
};
use std::{collections::BTreeMap, io};

/// Major number of our root discipline's handle, by which it is known: "MN".
pub const SHAPER: u16 = 0x4d4e;

/// `TCA_OPTIONS`
const OPTIONS: u16 = 2;

/// What a class lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes a second.
    pub rate: u64,
    /// Bytes that may pass at once after a pause.
    pub burst: u64,
    /// Bytes that may wait; what comes when the queue is full is dropped.
    pub queue: u32,
}

/// A class of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// Index of the link.
    pub link: u32,
    /// Minor number.
    pub minor: u16,
}

/// The queue of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Frames that wait.
    pub waiting: u32,
    /// Frames dropped because it was full; starts again at 0 after 2³².
    pub drops: u32,
}

impl Netlink {
    /// Puts our discipline on a link, in place of whatever is there; one of ours is left as it is,
    /// with its classes. Frames that name no class go into `default`.
    pub async fn add_shaper(&self, index: u32, default: Option<u16>) -> Result<(), LinkError> {
        if self.shapers().await?.contains_key(&index) {
            return Ok(());
        }
        let message = tc(
            index,
            TcHandle::ROOT,
            handle(0),
            "htb",
            htb::root(default.unwrap_or(0)),
        );
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        let what = format!("shape link {index}");
        self.change(
            &what,
            RouteNetlinkMessage::NewQueueDiscipline(message),
            flags,
        )
        .await
    }

    /// Takes our discipline off a link, with all classes and what waits in them. One that is not
    /// there is no error, nor is a link that is gone.
    pub async fn remove_shaper(&self, index: u32) -> Result<(), LinkError> {
        let message = bare(index, TcHandle::ROOT, handle(0));
        let what = format!("shape link {index} no longer");
        let gone = RouteNetlinkMessage::DelQueueDiscipline(message);
        or_absent(self.change(&what, gone, 0).await)
    }

    /// Makes a class, or gives it another rate; what waits in it goes on waiting.
    pub async fn set_class(&self, class: Class, shape: &Shape) -> Result<(), LinkError> {
        let (index, class) = (class.link, class.minor);
        let what = format!(
            "set class {class} of link {index} to {} bytes/s",
            shape.rate
        );
        let limit = tc(index, handle(0), handle(class), "htb", htb::class(shape));
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.change(&what, RouteNetlinkMessage::NewTrafficClass(limit), flags)
            .await?;
        let queue = shape.queue.to_ne_bytes().to_vec();
        let queue = tc(index, handle(class), TcHandle::UNSPEC, "bfifo", queue);
        self.change(&what, RouteNetlinkMessage::NewQueueDiscipline(queue), flags)
            .await
    }

    /// Removes a class with what waits in it; absent is no error.
    pub async fn remove_class(&self, class: Class) -> Result<(), LinkError> {
        let (index, class) = (class.link, class.minor);
        let message = bare(index, handle(0), handle(class));
        let what = format!("remove class {class} of link {index}");
        let gone = RouteNetlinkMessage::DelTrafficClass(message);
        or_absent(self.change(&what, gone, 0).await)
    }

    /// The links that have our discipline, each with its classes. A link that is gone has none.
    pub async fn shapers(&self) -> Result<BTreeMap<u32, BTreeMap<u16, Queue>>, LinkError> {
        let all = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        let found = self.dump("list queueing disciplines", all).await?;
        let mut shapers: BTreeMap<u32, BTreeMap<u16, Queue>> = BTreeMap::new();
        for message in found {
            let RouteNetlinkMessage::NewQueueDiscipline(message) = message else {
                continue;
            };
            let index = message.header.index.cast_unsigned();
            if message.header.handle == handle(0) {
                shapers.entry(index).or_default();
            } else if message.header.parent.major == SHAPER {
                let classes = shapers.entry(index).or_default();
                classes.insert(message.header.parent.minor, queue(&message));
            }
        }
        Ok(shapers)
    }

    async fn change(
        &self,
        what: &str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), LinkError> {
        self.exchange(what, message, NLM_F_REQUEST | NLM_F_ACK | flags)
            .await
            .map(drop)
    }

    async fn dump(
        &self,
        what: &str,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, LinkError> {
        self.exchange(what, message, NLM_F_REQUEST | NLM_F_DUMP)
            .await
    }

    async fn exchange(
        &self,
        what: &str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, LinkError> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        let mut answers = self
            .handle()
            .request(request)
            .map_err(|error| refused(what, error))?;
        let mut found = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer.payload {
                NetlinkPayload::Error(error) if error.code.is_some() => {
                    let error = rtnetlink::Error::NetlinkError(error);
                    return Err(refused(what, error));
                }
                NetlinkPayload::InnerMessage(message) => found.push(message),
                _ => {}
            }
        }
        Ok(found)
    }
}

fn handle(minor: u16) -> TcHandle {
    TcHandle {
        major: SHAPER,
        minor,
    }
}

/// The number by which a frame names a class: its `skb->priority`.
pub fn priority(class: u16) -> u32 {
    handle(class).into()
}

/// The class of ours that such a number names.
pub fn minor_of(priority: u32) -> Option<u16> {
    let handle = TcHandle::from(priority);
    (handle.major == SHAPER).then_some(handle.minor)
}

fn bare(index: u32, parent: TcHandle, handle: TcHandle) -> TcMessage {
    let mut message = TcMessage::with_index(index.cast_signed());
    (message.header.parent, message.header.handle) = (parent, handle);
    message
}

fn tc(index: u32, parent: TcHandle, handle: TcHandle, kind: &str, options: Vec<u8>) -> TcMessage {
    let mut message = bare(index, parent, handle);
    message.attributes = vec![
        TcAttribute::Kind(kind.to_owned()),
        TcAttribute::Other(DefaultNla::new(OPTIONS, options)),
    ];
    message
}

fn queue(message: &TcMessage) -> Queue {
    let stats = message
        .attributes
        .iter()
        .filter_map(|attribute| match attribute {
            TcAttribute::Stats2(stats) => Some(stats),
            _ => None,
        });
    let mut queues = stats.flatten().filter_map(|stat| match stat {
        TcStats2::Queue(queue) => Some(Queue {
            waiting: queue.qlen,
            drops: queue.drops,
        }),
        _ => None,
    });
    queues.next().unwrap_or_default()
}

/// What should go is gone already: the discipline, the class, or the whole link.
fn or_absent(result: Result<(), LinkError>) -> Result<(), LinkError> {
    match result {
        Err(LinkError::Refused { error, .. }) if is_absent(&error) => Ok(()),
        other => other,
    }
}

fn is_absent(error: &io::Error) -> bool {
    // EINVAL: the root discipline is not the one that was named
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENODEV | libc::EINVAL)
    )
}

#[cfg(test)]
mod tests;
