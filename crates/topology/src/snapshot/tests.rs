//! Properties of `apply`: any order of changes gives what a fresh snapshot would be.
