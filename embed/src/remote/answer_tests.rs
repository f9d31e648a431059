//! Is an answer taken only if it can be used?

use super::*;

fn taken(body: &str, texts: usize) -> Vec<Vec<f32>> {
    vectors(body.as_bytes(), texts, Some(2), None).expect("vectors")
}

fn flaw(body: &str) -> Flaw {
    vectors(body.as_bytes(), 2, Some(2), None).expect_err("a flaw")
}

#[test]
fn vectors_come_in_the_order_of_their_indices_and_of_unit_length() {
    let body = r#"{"data": [{"index": 1, "embedding": [0, -2]},
                            {"index": 0, "embedding": [3, 4], "object": "embedding"}],
                   "model": "m", "usage": {"total_tokens": 3}}"#;
    assert_eq!(taken(body, 2), [[0.6, 0.8], [0.0, -1.0]]);
    let without = r#"{"data": [{"embedding": [5, 0]}, {"embedding": [0, 1e-20]}]}"#;
    assert_eq!(taken(without, 2), [[1.0, 0.0], [0.0, 1.0]]);
}

#[test]
fn base64_holds_numbers_of_four_bytes() {
    let bytes: Vec<u8> = [3f32, 4.0].into_iter().flat_map(f32::to_le_bytes).collect();
    let body = |bytes: &[u8]| {
        let text = STANDARD.encode(bytes);
        format!(r#"{{"data": [{{"index": 0, "embedding": "{text}"}}]}}"#)
    };
    assert_eq!(taken(&body(&bytes), 1), [[0.6, 0.8]]);
    for (bytes, reason) in [
        (&bytes[..7], "4 bytes a number"),
        (&bytes[..4], "1 components, not 2"),
        (&[255; 8], "not finite"),
    ] {
        let found = vectors(body(bytes).as_bytes(), 1, Some(2), None);
        assert!(found.expect_err("a flaw").reason.contains(reason));
    }
    let found = vectors(br#"{"data": [{"embedding": "?"}]}"#, 1, None, None);
    assert!(found.expect_err("a flaw").reason.contains("no base64"));
}

#[test]
fn what_cannot_be_used_is_told_and_not_asked_for_again() {
    let item =
        |index: usize, vector: &str| format!(r#"{{"index": {index}, "embedding": {vector}}}"#);
    let body = |items: &[String]| format!(r#"{{"data": [{}]}}"#, items.join(","));
    let sound = item(0, "[1, 2]");
    for (body, reason) in [
        (body(std::slice::from_ref(&sound)), "1 vectors for 2 texts"),
        (
            body(&[sound.clone(), sound.clone()]),
            "two vectors have the index 0",
        ),
        (body(&[sound.clone(), item(2, "[1, 2]")]), "index 2"),
        (
            body(&[sound.clone(), r#"{"embedding": [1, 2]}"#.to_owned()]),
            "have none",
        ),
        (
            body(&[sound.clone(), item(1, "[1]")]),
            "vector 1 has 1 components, not 2",
        ),
        (
            body(&[sound.clone(), item(1, "[0, 0.0]")]),
            "vector 1 is all zeros",
        ),
        (
            body(&[sound.clone(), item(1, "[1, 1e39]")]),
            "component 1 of vector 1 is not finite",
        ),
        (body(&[sound.clone(), item(1, "[1, null]")]), "null"),
        (body(&[sound, item(1, "null")]), "null"),
        (r#"{"embeddings": [[1, 2], [3, 4]]}"#.to_owned(), "`data`"),
        (
            r#"{"error": {"message": "no GPU"}}"#.to_owned(),
            "it says: no GPU",
        ),
        ("7".to_owned(), "form"),
    ] {
        let flaw = flaw(&body);
        assert!(flaw.reason.contains(reason), "{body}: {flaw:?}");
        assert!(!flaw.is_passing, "{body}");
    }
}

#[test]
fn what_is_no_json_may_be_another_time() {
    for (body, reason) in [
        ("", "empty"),
        ("  ", "empty"),
        ("<html><h1>Bad\nGateway</h1>", "Bad Gateway"),
        (r#"{"data": [{"index": 0, "embe"#, "ends too early"),
        ("{\"data\": [{\"embedding\": [1, NaN]}]}", "no JSON"),
        ("{\"data\": [{\"embedding\": [1, 1e999]}]}", "out of range"),
        ("\u{0}\u{1}\u{2}", "no JSON"),
    ] {
        let flaw = flaw(body);
        assert!(flaw.reason.contains(reason), "{body}: {flaw:?}");
        assert!(flaw.is_passing, "{body}");
        assert!(!flaw.reason.contains(char::is_control), "{flaw:?}");
    }
}

#[test]
fn an_absurd_number_of_components_is_refused() {
    let of = |length: usize| {
        let numbers = vec!["1"; length].join(",");
        let body = format!(r#"{{"data": [{{"embedding": [{numbers}]}}]}}"#);
        vectors(body.as_bytes(), 1, None, None).map(|vectors| vectors[0].len())
    };
    assert_eq!(of(3), Ok(3));
    assert!(of(0).is_err());
    assert!(of(MAX_DIMENSIONS + 1).is_err());
}

#[test]
fn a_message_is_found_wherever_servers_put_it() {
    for (body, told) in [
        (r#"{"error": {"message": "a", "type": "b"}}"#, "a"),
        (r#"{"error": "a", "error_type": "Validation"}"#, "a"),
        (r#"{"object": "error", "message": "a", "code": 400}"#, "a"),
        (r#"{"detail": "a"}"#, "a"),
        (r#"{"detail": [{"msg": "a"}]}"#, r#"[{"msg":"a"}]"#),
        ("  a\u{1b}[31m \u{202e}b\n", "a [31m b"),
        ("<p>a</p><p>b</p>", "a b"),
        ("", "nothing more"),
        ("{}", "{}"),
    ] {
        assert_eq!(message(body.as_bytes(), None), told, "{body}");
    }
    let long = message("x".repeat(10_000).as_bytes(), None);
    assert_eq!(long.chars().count(), MAX_MESSAGE + 1);
}

#[test]
fn a_key_that_a_server_repeats_is_not_told_whole_or_in_part() {
    let key = Key::new("sk-s3cret").expect("a key");
    for before in (0..MAX_MESSAGE + 5).step_by(3) {
        let text = format!("{} sk-s3cret", "x".repeat(before));
        let body = serde_json::json!({ "error": { "message": text } }).to_string();
        for body in [body, text] {
            let told = message(body.as_bytes(), Some(&key));
            assert!(!told.contains("sk-"), "{told}");
        }
    }
    let body = br#"{"data": "sk-s3cret"}"#;
    let flaw = vectors(body, 1, None, Some(&key)).expect_err("a flaw");
    assert!(!flaw.reason.contains("s3cret"), "{flaw:?}");
}

#[test]
fn what_is_too_much_is_told_from_what_is_wrong() {
    for (status, message) in [
        (413, ""),
        (
            400,
            "This model's maximum context length is 512 tokens. However, you requested 600",
        ),
        (400, "the input length exceeds the context length"),
        (422, "batch size 64 > maximum allowed batch size 32"),
        (
            500,
            "input is too large to process. increase the physical batch size",
        ),
    ] {
        assert!(is_too_much(status, message), "{message}");
    }
    for (status, message) in [
        (400, "model is missing"),
        (429, "too many requests"),
        (503, "too large a queue"),
        (404, "model 'too-long' not found"),
    ] {
        assert!(!is_too_much(status, message), "{message}");
    }
}
