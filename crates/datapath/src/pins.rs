//! Pin paths.
