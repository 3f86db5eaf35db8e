//! What the documentation promises to list, it lists.

use flow::DropReason;

#[test]
fn every_drop_reason_is_explained() {
    let drops = include_str!("../../../docs/drops.md");
    for reason in DropReason::ALL {
        let row = format!("| `{}` | {} |", reason.name(), *reason as u32);
        assert!(
            drops.contains(&row),
            "docs/drops.md has no line for {}",
            reason.name()
        );
    }
}
