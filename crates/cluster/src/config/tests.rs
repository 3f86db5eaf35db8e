//! Files that are right and files that are not.

use super::*;

const GOOD: &str = r#"
[sync]
secret = "s3cret"
[store]
path = "/var/lib/midonet/cluster.redb"
[auth]
mode = "keystone"
[auth.keystone]
url = "http://keystone:5000/v3"
username = "midonet"
password = "hunter2"
project = "service"
"#;

const STATIC: &str = r#"
[sync]
secret = "s"
[store]
path = "x"
[auth]
mode = "static"
[auth.static]
username = "u"
password = "p"
token = "t"
"#;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("c.toml")).map_err(|e| e.to_string())
}

#[test]
fn defaults_fill_what_is_not_said_and_secrets_are_not_shown() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.api.listen.to_string(), "127.0.0.1:8181");
    assert_eq!(
        config.auth.keystone.as_ref().unwrap().admin_roles,
        ["admin"]
    );
    for shown in [config.to_string(), format!("{config:?}")] {
        assert!(
            !shown.contains("s3cret") && !shown.contains("hunter2"),
            "{shown}"
        );
        assert!(shown.contains("keystone:5000"), "{shown}");
    }
}

#[test]
fn what_is_not_known_is_refused_with_its_line() {
    let cases = [
        (
            GOOD.replace("project =", "tenant ="),
            "c.toml:12: unknown field `tenant`",
        ),
        (
            GOOD.replace("\"keystone\"", "\"mock\""),
            "c.toml:7: unknown variant `mock`",
        ),
        (
            GOOD.replace("[store]", "[stor]"),
            "c.toml:4: unknown field `stor`",
        ),
        (
            GOOD.replace("\"s3cret\"", "3"),
            "c.toml:3: invalid type: integer `3`",
        ),
        (GOOD.replace("path", "["), "c.toml:5:"),
    ];
    for (text, wanted) in cases {
        let message = parse(&text).unwrap_err();
        assert!(message.starts_with(wanted), "{message}");
    }
}

#[test]
fn static_credentials_must_be_asked_for() {
    assert!(parse(STATIC).is_ok());
    let quiet = format!("{GOOD}\n[auth.static]\nusername=\"u\"\npassword=\"p\"\ntoken=\"t\"\n");
    assert!(
        parse(&quiet)
            .unwrap_err()
            .contains("auth.static: must be asked for")
    );
    let empty = STATIC.replace("token = \"t\"", "token = \"\"");
    assert!(
        parse(&empty)
            .unwrap_err()
            .contains("auth.static.token: must not be empty")
    );
    let half = STATIC.split("[auth.static]").next().unwrap();
    assert!(parse(half).unwrap_err().contains("auth.static: is missing"));
}

#[test]
fn secrets_are_compared_whole() {
    let secret = Secret::new("abc");
    assert!(secret.is("abc"));
    for other in ["", "ab", "abcd", "abd"] {
        assert!(!secret.is(other), "{other}");
    }
}
