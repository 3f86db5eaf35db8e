//! The maps as the kernel has them.

/// A handle on the pinned maps. Handles are independent; each may live in its own thread.
pub struct KernelMaps {}
