//! Any bytes as the body of a request for a Neutron resource of any kind.
#![no_main]

use api::neutron::{Kind, Resource};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(json) = api::parse(body) else { return };
    for kind in Kind::ALL {
        if let Ok(resource) = Resource::decode(kind, json.clone()) {
            assert_eq!(resource.kind(), kind);
            let _ = (
                resource.id(),
                resource.revision_number(),
                resource.project(),
            );
        }
    }
});
