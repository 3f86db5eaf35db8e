//! Real Neutron.
