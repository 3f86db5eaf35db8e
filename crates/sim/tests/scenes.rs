//! Single packets in a small town, and what becomes of them.
