//! The table over the fake maps.
