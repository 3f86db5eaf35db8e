//! The maps in memory, for suites that run without root.

/// Twin of [`crate::KernelMaps`] with the kernel program's table look-up restated.
#[derive(Debug, Default)]
pub struct FakeMaps {}
