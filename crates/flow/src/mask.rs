//! A mask: the bits of a flow key that a decision depended on.

use bpf_abi::{FLOW_KEY_SIZE, FlowKey};

/// Set bits matter. The empty mask matches every packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mask(pub FlowKey);

impl Mask {
    /// The key with all bits cleared that do not matter.
    pub fn apply(&self, key: &FlowKey) -> FlowKey {
        let (mask, mut bytes) = (key_bytes(&self.0), key_bytes(key));
        bytes.iter_mut().zip(mask).for_each(|(b, m)| *b &= m);
        key_from_bytes(&bytes)
    }

    /// Whether two keys are the same in the bits that matter.
    pub fn same(&self, a: &FlowKey, b: &FlowKey) -> bool {
        self.apply(a) == self.apply(b)
    }

    /// Every bit matters.
    pub fn exact() -> Mask {
        Mask(key_from_bytes(&[0xff; FLOW_KEY_SIZE]))
    }
}

/// The key as the bytes that the kernel program hashes, in field order.
pub fn key_bytes(key: &FlowKey) -> [u8; FLOW_KEY_SIZE] {
    let mut out = [0; FLOW_KEY_SIZE];
    out[0..4].copy_from_slice(&key.in_port.to_ne_bytes());
    out[4..8].copy_from_slice(&[key.state, key.family, key.proto, key.flags]);
    out[8..14].copy_from_slice(&key.smac);
    out[14..20].copy_from_slice(&key.dmac);
    out[20..36].copy_from_slice(&key.src);
    out[36..52].copy_from_slice(&key.dst);
    out[52..54].copy_from_slice(&key.sport.to_ne_bytes());
    out[54..56].copy_from_slice(&key.dport.to_ne_bytes());
    out
}

/// The key that these bytes are.
pub fn key_from_bytes(bytes: &[u8; FLOW_KEY_SIZE]) -> FlowKey {
    fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
        std::array::from_fn(|i| bytes[at + i])
    }
    FlowKey {
        in_port: u32::from_ne_bytes(part(bytes, 0)),
        state: bytes[4],
        family: bytes[5],
        proto: bytes[6],
        flags: bytes[7],
        smac: part(bytes, 8),
        dmac: part(bytes, 14),
        src: part(bytes, 20),
        dst: part(bytes, 36),
        sport: u16::from_ne_bytes(part(bytes, 52)),
        dport: u16::from_ne_bytes(part(bytes, 54)),
    }
}
