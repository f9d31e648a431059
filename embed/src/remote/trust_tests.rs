//! Is a key seen by nobody but the server that it is for?

use super::key::Key;
use super::test_server::{Reply, Server};
use super::tests::{open, options, refused};
use super::*;

fn with_key() -> Options {
    Options {
        key: Key::new("sk-s3cret").ok(),
        ..options()
    }
}

#[test]
fn the_key_is_in_its_header_and_nowhere_else() {
    let server = Server::new(|number, request| {
        let key = request.header("authorization").unwrap_or_default();
        match number {
            0 => Reply::Vectors,
            1 => Reply::Status(401, "", format!("wrong key: {key}")),
            2 => Reply::Status(400, "", format!(r#"{{"error": {{"message": "{key}"}}}}"#)),
            3 => Reply::Body(format!(r#"{{"data": "{key}"}}"#)),
            _ => Reply::Status(
                307,
                "Location: http://sk-s3cret@evil/sk-s3cret\r\n",
                String::new(),
            ),
        }
    });
    let options = with_key();
    assert!(!format!("{options:?}").contains("s3cret"));
    let model = open(&server, options);
    assert!(!model.contract().fingerprint.contains("s3cret"));
    for _ in 0..4 {
        let error = model.embed_query("question").expect_err("refused");
        assert!(
            !format!("{error} {error:?}").contains("s3cret"),
            "{error:?}"
        );
    }
    for request in server.seen() {
        assert_eq!(request.header("authorization"), Some("Bearer sk-s3cret"));
        let others = request
            .headers
            .iter()
            .filter(|(name, _)| name != "authorization");
        let rest: Vec<_> = others.collect();
        assert!(!format!("{:?} {rest:?} {}", request.line, request.body).contains("s3cret"));
    }
}

#[test]
fn a_redirect_is_told_and_not_followed() {
    let elsewhere = Server::sound();
    let location = format!("Location: http://127.0.0.1:{}/v1\r\n", elsewhere.port);
    let location: &'static str = location.leak();
    for code in [301, 302, 307, 308] {
        let server = Server::new(move |_, _| Reply::Status(code, location, String::new()));
        let told = refused(&server, with_key()).to_string();
        assert!(told.contains(&elsewhere.port.to_string()), "{told}");
        assert_eq!(server.seen().len(), 1);
    }
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn a_key_goes_only_where_it_may() {
    // Nobody is asked for that: the address alone decides.
    let opened = |name: &str, options: Options| {
        let address = Address::parse(name).expect("an address");
        Client::new(address, &options).map(|_| ())
    };
    let refusal = opened("http://10.0.0.7/v1#m", with_key()).expect_err("refused");
    let told = refusal.to_string();
    assert!(told.contains("CENTO_EMBED_ALLOW_HTTP_KEY"), "{told}");
    let allowed = Options {
        allows_http_key: true,
        ..with_key()
    };
    for (name, options) in [
        ("http://10.0.0.7/v1#m", options()),
        ("http://10.0.0.7/v1#m", allowed),
        ("https://10.0.0.7/v1#m", with_key()),
        ("http://localhost:1/v1#m", with_key()),
        ("http://[::1]:1/v1#m", with_key()),
    ] {
        assert!(opened(name, options).is_ok(), "{name}");
    }
    let server = Server::sound();
    for (host, sent) in [
        (format!("127.0.0.1:{}", server.port), true),
        ("api.example.com".to_owned(), false),
    ] {
        let options = Options {
            key_host: Some(host),
            ..with_key()
        };
        open(&server, options);
        let seen = server.seen().pop().expect("a request");
        assert_eq!(seen.header("authorization").is_some(), sent);
    }
}
