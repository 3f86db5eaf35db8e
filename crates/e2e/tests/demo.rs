//! The demo, in a lab of its own: a demo that someone has left running is not touched.

use lab::{Lab, demo};

#[test]
fn the_demo_passes_all_its_checks() {
    let mut lab = Lab::new().unwrap();
    let demo = demo::run(&mut lab).unwrap();
    assert!(demo.passed);
    for agent in &demo.agents {
        assert!(
            agent.resident_kib().unwrap() < 64 * 1024,
            "an agent takes too much memory"
        );
    }
    assert!(
        demo.cluster.resident_kib().unwrap() < 128 * 1024,
        "the cluster takes too much"
    );
}
