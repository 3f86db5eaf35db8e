//! Any bytes as a frame: it is read or refused, and what is read makes sense.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sim::testing::Town;
use std::sync::LazyLock;

static FRAMES: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| midonet_fuzz::good_frames(&Town::with_default_group()));

fuzz_target!(|data: &[u8]| {
    read(data);
    read(&midonet_fuzz::patched(&FRAMES, data));
});

fn read(frame: &[u8]) {
    let Ok(parsed) = flow::parse(frame) else {
        return;
    };
    let key = parsed.key;
    assert!(matches!(key.family, 0 | 4 | 6));
    assert!(parsed.transport <= parsed.end && parsed.end <= frame.len());
    assert_eq!((key.in_port, key.state), (0, 0));
    // padding changes nothing
    let mut padded = frame.to_vec();
    padded.push(0xa5);
    assert_eq!(flow::parse(&padded).map(|p| p.key), Ok(key));
}
