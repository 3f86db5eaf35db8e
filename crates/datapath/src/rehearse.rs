//! Rehearsals: the kernel program run on a frame that is not sent on (`BPF_PROG_TEST_RUN`).

use aya::programs::{ProgramError, SchedClassifier, TestRun, TestRunOptions};
use std::time::Duration;

/// Where a rehearsed frame comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `inject`, with this mark and segment size.
    Injected {
        /// `MARK_*` with an ifindex.
        mark: u32,
        /// Segment size of an aggregated frame; 0 for a plain one.
        gso_size: u32,
    },
    /// `from_tunnel`; without tunnel metadata, which only a real frame has.
    Tunnel,
}

/// What became of a rehearsed frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// It would have left by a device; otherwise it was dropped or went up.
    pub redirected: bool,
    /// The frame as changed.
    pub frame: Vec<u8>,
    /// How long the program took.
    pub duration: Duration,
}

/// Size of `struct __sk_buff` and offsets of fields in it: fixed, it is the kernel's interface.
const SK_BUFF: usize = 192;
const SK_BUFF_MARK: usize = 8;
const SK_BUFF_GSO_SIZE: usize = 176;
/// How much a frame may grow in a rehearsal.
const ROOM: usize = 256;
/// What a program returns when the frame is to leave by another device.
const TC_ACT_REDIRECT: u32 = 7;

impl Entry {
    /// The `struct __sk_buff` to hand in.
    fn context(self) -> [u8; SK_BUFF] {
        let mut context = [0; SK_BUFF];
        if let Entry::Injected { mark, gso_size } = self {
            context[SK_BUFF_MARK..][..4].copy_from_slice(&mark.to_ne_bytes());
            context[SK_BUFF_GSO_SIZE..][..4].copy_from_slice(&gso_size.to_ne_bytes());
        }
        context
    }
}

/// Runs the program of this entry on a frame.
pub(crate) fn rehearse(
    program: &SchedClassifier,
    entry: Entry,
    frame: &[u8],
) -> Result<Rehearsal, ProgramError> {
    let mut out = vec![0; frame.len() + ROOM];
    let result = program.test_run(TestRunOptions {
        data_in: Some(frame),
        data_out: Some(&mut out),
        ctx_in: Some(&entry.context()),
        ..TestRunOptions::new()
    })?;
    out.truncate(result.data_size_out as usize);
    let redirected = result.return_value == TC_ACT_REDIRECT;
    Ok(Rehearsal {
        redirected,
        frame: out,
        duration: result.duration,
    })
}
