//! Does a remote model give vectors or a clear error, whatever its server does?

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::options::Patience;
use super::test_server::{Reply, Request, Server, answer_of, status, unit};
use super::*;

/// As in use, but in milliseconds.
pub(super) fn options() -> Options {
    let mut options = Options::read(|_| None::<OsString>).expect("options");
    let patience = Patience {
        connect: Duration::from_secs(5),
        request: Duration::from_secs(5),
        deadline: Duration::from_secs(10),
        tries: 4,
        first_wait: Duration::from_millis(4),
        longest_wait: Duration::from_millis(80),
    };
    options.opening = patience;
    options.queries = patience;
    options.documents = patience;
    options
}

/// One that does not wait long for an answer.
fn hurried() -> Options {
    let mut options = options();
    for patience in [&mut options.queries, &mut options.documents] {
        patience.request = Duration::from_millis(60);
        patience.deadline = Duration::from_millis(200);
    }
    options
}

pub(super) fn open(server: &Server, options: Options) -> Remote {
    Remote::open(&server.name(), options).expect("an embedder")
}

pub(super) fn refused(server: &Server, options: Options) -> EmbedError {
    match Remote::open(&server.name(), options) {
        Err(error) => error,
        Ok(_) => panic!("it was opened"),
    }
}

fn texts(count: usize) -> Vec<String> {
    (0..count)
        .map(|i| format!("text {i} {}", "x".repeat(i % 7)))
        .collect()
}

/// Answers the probe soundly, and what comes then as said, from 0.
fn after_probe(reply: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::new(move |number, request| match number.checked_sub(1) {
        None => Reply::Vectors,
        Some(number) => reply(number, request),
    })
}

#[test]
fn a_server_is_asked_once_on_opening_and_its_contract_is_known() {
    let server = Server::sound();
    let model = open(&server, options());
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].line, "POST /v1/embeddings HTTP/1.1");
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    assert_eq!(seen[0].header("authorization"), None);
    assert_eq!(
        seen[0].body,
        json!({ "model": "test-model", "input": [PROBE], "encoding_format": "float" })
    );
    let expected = Contract {
        model: server.name(),
        fingerprint: format!("127.0.0.1:{}/v1#test-model/3/unit", server.port),
        dimensions: 3,
        max_tokens: None,
        cosine_weight: 1.0,
        standout: None,
        is_quantised: false,
        query_prefix: String::new(),
        document_prefix: String::new(),
    };
    assert_eq!(*model.contract(), expected);
}

#[test]
fn documents_keep_their_order_in_bounded_batches_and_requests() {
    let server = Server::new(|_, _| Reply::Late(Duration::from_millis(15)));
    let model = open(
        &server,
        Options {
            batch_texts: 5,
            batch_bytes: 40,
            concurrency: 3,
            ..options()
        },
    );
    let mut texts = texts(60);
    texts[7] = "longer than a batch may be, and alone in it therefore".to_owned();
    texts[11] = String::new();
    texts[12] = " \n\u{a0}".to_owned();
    // Two callers share the bound.
    let (first, second) = thread::scope(|scope| {
        let other = scope.spawn(|| model.embed_documents(&texts));
        (model.embed_documents(&texts), other.join().expect("joined"))
    });
    let expected: Vec<Vec<f32>> = texts
        .iter()
        .map(|text| match text.trim() {
            "" => vec![0.0; 3],
            _ => unit(text),
        })
        .collect();
    assert_eq!(first.expect("vectors"), expected);
    assert_eq!(second.expect("vectors"), expected);
    for request in &server.seen()[1..] {
        let sent = request.texts();
        let bytes: usize = sent.iter().map(String::len).sum();
        assert!(
            sent.len() <= 5 && (bytes <= 40 || sent.len() == 1),
            "{sent:?}"
        );
        assert!(sent.iter().all(|text| !text.trim().is_empty()));
    }
    assert_eq!(server.most_at_once(), 3);
}

#[test]
fn texts_without_content_are_zeros_and_not_sent() {
    let server = Server::sound();
    let options = Options {
        query_prefix: "query: ".to_owned(),
        ..options()
    };
    let model = open(&server, options);
    assert_eq!(model.embed_query(" \t\n").expect("zeros"), [0.0; 3]);
    let empty = vec![String::new(); 3];
    assert_eq!(model.embed_documents(&empty).expect("zeros"), [[0.0; 3]; 3]);
    assert!(model.embed_documents(&[]).expect("nothing").is_empty());
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn prefixes_and_the_cut_are_sent_and_part_of_the_identity() {
    let server = Server::sound();
    let plain = open(&server, options());
    let model = open(
        &server,
        Options {
            query_prefix: "query: ".to_owned(),
            document_prefix: "passage: ".to_owned(),
            max_characters: Some(16),
            ..options()
        },
    );
    let documents = ["größe und gewicht".to_owned()];
    let vectors = model.embed_documents(&documents).expect("vectors");
    assert_eq!(vectors, [unit("passage: größe u")]);
    let vector = model.embed_query("größe").expect("a vector");
    assert_eq!(vector, unit("query: größe"));
    assert_eq!(model.contract().query_prefix, "query: ");
    assert_eq!(model.contract().document_prefix, "passage: ");
    let prints = [plain, model].map(|model| model.contract.fingerprint);
    assert_ne!(prints[0], prints[1]);
    assert!(prints[1].starts_with(&prints[0]), "{prints:?}");
}

#[test]
fn dimensions_are_asked_for_and_insisted_on() {
    let wants = |dimensions| Options {
        dimensions: Some(dimensions),
        ..options()
    };
    let server = Server::sound();
    assert_eq!(open(&server, wants(3)).contract().dimensions, 3);
    assert_eq!(server.seen()[0].body["dimensions"], 3);
    let error = refused(&server, wants(2));
    assert!(error.to_string().contains("3 components, not 2"), "{error}");
}

#[test]
fn failures_that_pass_are_asked_again_and_nothing_is_lost() {
    for code in [408, 409, 425, 429, 500, 502, 503, 504] {
        let server = after_probe(move |number, _| match number {
            0 | 1 => status(code),
            _ => Reply::Vectors,
        });
        let model = open(&server, options());
        let vector = model.embed_query("question").expect("a vector");
        assert_eq!(vector, unit("question"), "{code}");
        assert_eq!(server.seen().len(), 4, "{code}");
    }
    let server = after_probe(|number, _| match number {
        0 => Reply::Close,
        1 => Reply::Cut,
        2 => Reply::Body("<html>starting</html>".to_owned()),
        _ => Reply::Vectors,
    });
    let model = open(&server, options());
    let documents = texts(3);
    let vectors = model.embed_documents(&documents).expect("vectors");
    assert_eq!(
        vectors,
        documents.iter().map(|t| unit(t)).collect::<Vec<_>>()
    );
    assert_eq!(server.seen().len(), 5);
}

#[test]
fn every_second_request_fails_and_all_documents_come() {
    let server = Server::new(|number, _| match number % 2 {
        1 => status(503),
        _ => Reply::Vectors,
    });
    let mut options = options();
    (options.batch_texts, options.documents.tries) = (1, 20);
    let model = open(&server, options);
    let documents = texts(30);
    let vectors = model.embed_documents(&documents).expect("vectors");
    assert_eq!(
        vectors,
        documents.iter().map(|t| unit(t)).collect::<Vec<_>>()
    );
}

#[test]
fn a_refusal_is_told_at_once_with_what_the_server_said() {
    for code in [400, 401, 403, 404, 405, 422, 501] {
        let said = r#"{"error": {"message": "no such\u0007 thing"}}"#;
        let server = Server::new(move |_, _| Reply::Status(code, "", said.to_owned()));
        let error = refused(&server, options());
        let EmbedError::RemoteRefused {
            status, message, ..
        } = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!((*status, &message[..]), (code, "no such thing"));
        assert_eq!(server.seen().len(), 1, "{code}");
    }
    let used_up = r#"{"error": {"message": "pay", "code": "insufficient_quota"}}"#;
    let server = Server::new(move |_, _| Reply::Status(429, "", used_up.to_owned()));
    assert!(refused(&server, options()).to_string().contains("pay"));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn tries_come_to_an_end_and_are_counted() {
    let server = after_probe(|_, _| Reply::Status(503, "", "overloaded".to_owned()));
    let mut options = options();
    options.batch_texts = 1;
    let model = open(&server, options);
    let error = model.embed_query("question").expect_err("refused");
    let told = error.to_string();
    assert!(told.contains("503: overloaded; tried 4 times"), "{told}");
    assert_eq!(server.seen().len(), 5);
    // The first batch that fails ends the others.
    let begun = Instant::now();
    assert!(model.embed_documents(&texts(200)).is_err());
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(server.seen().len() < 5 + 4 * 8, "{}", server.seen().len());
}

#[test]
fn a_server_says_how_long_it_wants_to_be_left_alone() {
    let server = after_probe(|number, _| match number {
        0 => Reply::Status(429, "Retry-After: 2\r\n", String::new()),
        _ => Reply::Vectors,
    });
    let mut options = options();
    options.documents.longest_wait = Duration::from_secs(3);
    options.queries.deadline = Duration::from_millis(300);
    let model = open(&server, options);
    let begun = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            let vectors = model.embed_documents(&texts(2));
            assert_eq!(vectors.expect("vectors").len(), 2);
        });
        while model.client.turns().count_query().is_zero() {
            thread::sleep(Duration::from_millis(1));
        }
        // A query that cannot wait so long is told so at once.
        let error = model.embed_query("question").expect_err("refused");
        assert!(error.to_string().contains("left alone"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(2));
    });
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn who_asks_to_be_left_alone_for_too_long_is_asked_again_all_the_same() {
    let server = after_probe(|number, _| match number {
        0 => Reply::Status(503, "Retry-After: 86400\r\n", String::new()),
        1 => Reply::Status(
            503,
            "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
            String::new(),
        ),
        _ => Reply::Vectors,
    });
    let model = open(&server, options());
    let begun = Instant::now();
    assert!(model.embed_documents(&texts(1)).is_ok());
    assert!(begun.elapsed() >= Duration::from_millis(160));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_server_that_stalls_is_given_up_within_the_deadline() {
    for reply in [|| Reply::Stall, || Reply::Dribble] {
        let server = after_probe(move |_, _| reply());
        let mut options = hurried();
        options.batch_texts = 1;
        let model = open(&server, options);
        let begun = Instant::now();
        let error = model.embed_query("question").expect_err("no answer");
        assert!(
            matches!(error, EmbedError::RemoteUnreachable { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("no answer within"), "{error}");
        assert!(model.embed_documents(&texts(50)).is_err());
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn a_server_that_is_not_there_is_told_soon() {
    let server = Server::sound();
    let model = open(&server, options());
    // A port of which nobody listens any more.
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address")
    };
    let begun = Instant::now();
    let error = match Remote::open(&format!("http://{gone}/v1#m"), options()) {
        Err(error) => error,
        Ok(_) => panic!("it was opened"),
    };
    assert!(
        matches!(error, EmbedError::RemoteUnreachable { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("tried 4 times"), "{error}");
    // What speaks no TLS is no server for https.
    let name = server.name().replace("http:", "https:");
    assert!(Remote::open(&name, options()).is_err());
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(model.embed_query("question").is_ok());
}

#[test]
fn what_cannot_be_used_is_an_error_that_names_the_cause() {
    let three = |numbers: &str| format!(r#"{{"data": [{{"index": 0, "embedding": {numbers}}}]}}"#);
    for (body, reason, requests) in [
        (r#"{"data": []}"#.to_owned(), "0 vectors for 1 texts", 1),
        (three("[1, 2]"), "2 components, not 3", 1),
        (three("[1, 2, null]"), "null", 1),
        (three("[1, 2, 1e39]"), "not finite", 1),
        (three("[1, 2, 1e999]"), "out of range", 4),
        (three("[0, 0, 0]"), "all zeros", 1),
        (three("[1, 2, 3").replace("}]}", ""), "ends too early", 4),
        ("<html><body>Welcome</body></html>".to_owned(), "Welcome", 4),
        ("x".repeat(3 << 20), "longer than", 1),
    ] {
        let server = after_probe(move |_, _| Reply::Body(body.clone()));
        let model = open(&server, options());
        let error = model.embed_query("question").expect_err("unusable");
        assert!(
            matches!(error, EmbedError::RemoteAnswer { .. }),
            "{error:?}"
        );
        let told = error.to_string();
        assert!(
            told.contains(reason) && told.len() < 700,
            "{reason}: {told}"
        );
        assert_eq!(server.seen().len(), 1 + requests, "{reason}");
    }
}

#[test]
fn indices_are_believed_and_base64_is_read() {
    use base64::Engine as _;
    let server = after_probe(|_, request| {
        let data = request
            .texts()
            .into_iter()
            .enumerate()
            .map(|(index, text)| {
                let bytes = test_server::numbers(&text).map(f32::to_le_bytes).concat();
                let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                json!({ "index": index, "embedding": text })
            });
        let data: Vec<_> = data.rev().collect();
        Reply::Body(json!({ "data": data }).to_string())
    });
    let model = open(&server, options());
    let documents = texts(9);
    let vectors = model.embed_documents(&documents).expect("vectors");
    assert_eq!(
        vectors,
        documents.iter().map(|t| unit(t)).collect::<Vec<_>>()
    );
}

#[test]
fn what_is_too_much_at_once_is_sent_in_halves() {
    let server = Server::new(|_, request| match request.texts().len() {
        0..=3 => Reply::Vectors,
        _ => status(413),
    });
    let model = open(&server, options());
    let documents = texts(20);
    let vectors = model.embed_documents(&documents).expect("vectors");
    assert_eq!(
        vectors,
        documents.iter().map(|t| unit(t)).collect::<Vec<_>>()
    );
}

#[test]
fn a_text_that_is_too_long_is_named() {
    let server = Server::new(|_, request| {
        if request.texts().iter().all(|text| text.len() < 100) {
            return Reply::Vectors;
        }
        let said = r#"{"error": "This model's maximum context length is 64 tokens"}"#;
        Reply::Status(400, "", said.to_owned())
    });
    let model = open(&server, options());
    let mut documents = texts(20);
    documents[13] = format!("number thirteen {}", "y".repeat(100));
    let error = model.embed_documents(&documents).expect_err("too long");
    let EmbedError::RemoteTextTooLong {
        begins,
        characters,
        status,
        message,
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert!(begins.starts_with("number thirteen yyy"), "{begins}");
    assert_eq!((*characters, *status), (116, 400));
    assert!(message.contains("64 tokens"), "{message}");
    let error = model.embed_query(&documents[13]).expect_err("too long");
    assert!(
        matches!(error, EmbedError::RemoteTextTooLong { .. }),
        "{error:?}"
    );
}

#[test]
fn requests_a_minute_are_not_passed() {
    let server = Server::sound();
    let model = open(
        &server,
        Options {
            batch_texts: 1,
            // One every 40 ms.
            requests_per_minute: Some(1500),
            ..options()
        },
    );
    let begun = Instant::now();
    model.embed_documents(&texts(6)).expect("vectors");
    // The first waits for the probe's, too.
    assert!(begun.elapsed() >= Duration::from_millis(5 * 40));
}

#[test]
fn batches_end_at_their_limits() {
    assert_eq!(batches(&[5, 5, 5, 5, 5], 2, 100), [0..2, 2..4, 4..5]);
    assert_eq!(
        batches(&[60, 50, 50, 500, 1], 9, 100),
        [0..1, 1..3, 3..4, 4..5]
    );
    assert!(batches(&[], 2, 100).is_empty());
}

#[test]
fn a_model_serves_many_threads() {
    let server = Server::sound();
    let model: Arc<dyn Embedder> = Arc::new(open(&server, options()));
    let wrong = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..8 {
            let (model, wrong) = (Arc::clone(&model), &wrong);
            scope.spawn(move || {
                for i in 0..10 {
                    let text = format!("{thread} {i}");
                    if model.embed_query(&text).ok() != Some(unit(&text)) {
                        wrong.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(wrong.into_inner(), 0);
    assert_eq!(
        answer_of(&[]),
        r#"{"object":"list","data":[],"model":"test-model"}"#
    );
}
