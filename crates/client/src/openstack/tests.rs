//! The parts that need no service.

use super::*;

#[test]
fn needs_the_address_of_keystone() {
    let error = Keystone::from_variables(|_| None).unwrap_err();
    assert_eq!(error.to_string(), "OS_AUTH_URL is not set");
}

#[test]
fn domains_default() {
    let keystone = Keystone::from_variables(|name| match name {
        "OS_REGION_NAME" | "OS_NETWORK_ENDPOINT_OVERRIDE" => None,
        name if name.contains("DOMAIN") => None,
        name => Some(name.to_lowercase()),
    })
    .unwrap();
    assert_eq!(keystone.user_domain, "Default");
    assert_eq!(
        keystone.request()["auth"]["scope"]["project"]["name"],
        "os_project_name"
    );
}

#[test]
fn the_catalogue_is_asked_for_the_public_endpoint_of_the_region() {
    let endpoint = |interface, region| {
        let url = format!("{interface}-{region}");
        json!({"interface": interface, "region_id": region, "url": url})
    };
    let endpoints = [
        endpoint("internal", "a"),
        endpoint("public", "a"),
        endpoint("public", "b"),
    ];
    let token = json!({"token": {"catalog": [
        {"type": "identity", "endpoints": [endpoint("public", "b")]},
        {"type": "network", "endpoints": endpoints},
    ]}});
    assert_eq!(
        network_endpoint(&token, Some("b")).as_deref(),
        Some("public-b")
    );
    assert_eq!(network_endpoint(&token, None).as_deref(), Some("public-a"));
    assert_eq!(network_endpoint(&token, Some("c")), None);
}

#[test]
fn follows_links_to_the_next_page() {
    let links = json!([{"rel": "previous", "href": "x"}, {"rel": "next", "href": "y"}]);
    assert_eq!(next_page(&links).as_deref(), Some("y"));
    assert_eq!(next_page(&Value::Null), None);
}
