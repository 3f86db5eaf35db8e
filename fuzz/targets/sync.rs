//! Any bytes from the other end of a sync connection, in pieces of any size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sync::{Decoder, FromAgent, FromCluster};

fuzz_target!(|data: &[u8]| {
    let [piece, bytes @ ..] = data else { return };
    let piece = usize::from(*piece).max(1);
    read(bytes, piece);
    // framed, so that the engine gets to the messages
    let framed = [&(bytes.len() as u32).to_be_bytes(), bytes].concat();
    read(&framed, framed.len());
});

/// Reads a stream as each side would, to its end or the first error.
fn read(bytes: &[u8], piece: usize) {
    let (mut cluster, mut agent) = (Decoder::default(), Decoder::default());
    for part in bytes.chunks(piece) {
        cluster.feed(part);
        agent.feed(part);
        while let Ok(Some(message)) = cluster.next::<FromAgent>() {
            sync::encode(&message).expect("what was read can be written");
        }
        while let Ok(Some(message)) = agent.next::<FromCluster>() {
            sync::encode(&message).expect("what was read can be written");
        }
    }
}
