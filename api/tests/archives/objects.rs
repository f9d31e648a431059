//! Archives in buckets.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use cento_api::{ArchivePlace, Problem, download, upload};

use crate::files::{fetch, send, snapshot};
use crate::store::Store;

const MIB: usize = 1 << 20;

/// Writes so many bytes.
fn write_bytes(bytes: usize) -> impl FnOnce(&mut dyn Write) -> Result<(), Problem> {
    move |out| {
        let piece = vec![7; MIB];
        for _ in 0..bytes / MIB {
            out.write_all(&piece).map_err(|error| {
                let told = error.into_inner().unwrap();
                *told.downcast::<Problem>().unwrap()
            })?;
        }
        Ok(())
    }
}

#[test]
fn a_small_archive_is_one_request_up_and_one_down() {
    let store = Store::start();
    let dir = snapshot(100_000);
    let place = send(&dir, &store.place("s3://bucket/backups")).unwrap();
    assert_eq!(
        place.to_string(),
        "s3://bucket/backups/handbook-s1.cento.tar"
    );
    fetch(&dir, &place).unwrap();
    assert_eq!(store.inside().requests, ["PUT ", "GET "]);
}

#[test]
fn a_large_archive_goes_in_parts_and_comes_in_ranges() {
    let store = Store::start();
    let dir = snapshot(70 * MIB);
    store.inside().stumble_at_part = Some(3);
    let place = send(&dir, &store.place("s3://bucket/")).unwrap();
    {
        let inside = store.inside();
        let parts = inside
            .requests
            .iter()
            .filter(|asked| *asked == "PUT partNumber");
        assert_eq!(parts.count(), 9 + 1, "{:?}", inside.requests);
        assert!(inside.uploads.is_empty());
        // So memory is bounded: no part is begun while four are on their way.
        let most = inside.most_parts_at_once;
        assert!((2..=4).contains(&most), "{most} at once");
    }
    store.inside().break_body_at = Some(5 * MIB);
    fetch(&dir, &place).unwrap();
    let inside = store.inside();
    let gets = inside.requests.iter().filter(|asked| *asked == "GET ");
    assert_eq!(gets.count(), 2 + 1, "{:?}", inside.requests);
}

#[test]
fn a_server_may_do_it_on_a_thread_that_waits() {
    let store = Store::start();
    let place = store.place("s3://bucket");
    let server = tokio::runtime::Runtime::new().unwrap();
    let done = server.spawn(async move {
        let work = move || {
            let dir = snapshot(20 * MIB);
            fetch(&dir, &send(&dir, &place).unwrap()).unwrap();
        };
        tokio::task::spawn_blocking(work).await
    });
    server.block_on(done).unwrap().unwrap();
}

#[test]
fn a_part_that_is_refused_leaves_nothing_behind() {
    for part in [1, 2, 4] {
        let store = Store::start();
        store.inside().refuse_part = Some(part);
        let place = store.place("s3://bucket/a.tar");
        let problem = upload(&place, 0, write_bytes(64 * MIB)).unwrap_err();
        assert_eq!(
            (&*problem.code, problem.status),
            ("object_store_forbidden", 403)
        );
        assert!(
            problem.detail.contains("told by the store (AccessDenied)"),
            "{problem}"
        );
        assert!(store.inside().uploads.is_empty() && store.inside().objects.is_empty());
    }
}

#[test]
fn a_refusal_goes_through_the_export_to_the_caller() {
    let store = Store::start();
    store.inside().refuse_part = Some(1);
    let problem = send(&snapshot(64 * MIB), &store.place("s3://bucket")).unwrap_err();
    assert_eq!(problem.code, "object_store_forbidden");
    assert!(store.inside().uploads.is_empty());
}

#[test]
fn an_upload_that_cannot_be_completed_is_taken_back() {
    let store = Store::start();
    store.inside().refuse_completion = true;
    let problem = upload(&store.place("s3://bucket/a.tar"), 0, write_bytes(20 * MIB)).unwrap_err();
    assert_eq!(problem.code, "object_store_forbidden");
    assert!(store.inside().uploads.is_empty() && store.inside().objects.is_empty());
}

#[test]
fn a_writer_that_fails_or_panics_leaves_what_was_there() {
    let store = Store::start();
    let place = store.place("s3://bucket/a.tar");
    store
        .inside()
        .objects
        .insert("a.tar".to_owned(), b"old".to_vec());
    for bytes in [MIB, 20 * MIB] {
        let failed = upload(&place, 0, |out| {
            write_bytes(bytes)(out)?;
            Err::<(), _>(Problem::new("internal", 500, "it broke"))
        });
        assert_eq!(failed.unwrap_err().detail, "it broke");
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            upload(&place, 0, |out| {
                write_bytes(bytes)(out)?;
                panic!("the writer's own fault");
                #[allow(unreachable_code, reason = "it gives the closure its type")]
                Ok::<(), Problem>(())
            })
        }));
        assert!(panicked.is_err());
        let inside = store.inside();
        assert!(inside.uploads.is_empty());
        assert_eq!(inside.objects["a.tar"], b"old");
    }
}

#[test]
fn parts_grow_so_that_ten_thousand_are_enough() {
    let store = Store::start();
    let place = store.place("s3://bucket/a.tar");
    // An archive said to be of 90 GB; its parts are longer than what is sent.
    upload(&place, 90_000_000_000, write_bytes(9 * MIB)).unwrap();
    assert_eq!(store.inside().requests, ["PUT "]);
    assert_eq!(store.inside().objects["a.tar"].len(), 9 * MIB);
}

#[test]
fn an_object_replaced_while_it_is_read_is_not_mixed() {
    let store = Store::start();
    let bytes: Vec<u8> = (0..70 * MIB).map(|n| (n % 251) as u8).collect();
    store.inside().objects.insert("a.tar".to_owned(), bytes);
    store.inside().replace_while_read = true;
    let mut object = download(&store.place("s3://bucket/a.tar")).unwrap();
    let error = object.read_to_end(&mut Vec::new()).unwrap_err();
    let problem = error.into_inner().unwrap().downcast::<Problem>().unwrap();
    assert_eq!((&*problem.code, problem.retry), ("archive_changed", true));
}

#[test]
fn what_is_not_there_is_told_apart() {
    let store = Store::start();
    store
        .inside()
        .objects
        .insert("empty.tar".to_owned(), Vec::new());
    for (place, code, status) in [
        ("s3://bucket/a.tar", "archive_not_found", 404),
        ("s3://other/a.tar", "bucket_not_found", 404),
        ("s3://bucket/empty.tar", "archive_invalid", 422),
        ("s3://bucket/prefix", "invalid_place", 400),
    ] {
        let problem = download(&store.place(place)).err().unwrap();
        assert_eq!(
            (&*problem.code, problem.status),
            (code, status),
            "{problem}"
        );
    }
    let place = store.place("s3://other/a.tar");
    for bytes in [0, 20 * MIB] {
        let problem = upload(&place, 0, write_bytes(bytes)).unwrap_err();
        assert_eq!(problem.code, "bucket_not_found");
    }
}

#[test]
fn wrong_or_missing_credentials_are_told_as_such() {
    let store = Store::start();
    let wrong = store.place_with("s3://bucket/a.tar", &[("AWS_ACCESS_KEY_ID", "OTHER")]);
    let problem = download(&wrong).err().unwrap();
    assert_eq!(problem.code, "object_store_forbidden");
    assert!(problem.detail.contains("InvalidAccessKeyId"), "{problem}");

    let half = ArchivePlace::parse_with(
        "s3://bucket/a.tar",
        [("AWS_ACCESS_KEY_ID".to_owned(), "KEY".to_owned())],
    );
    let problem = download(&half.unwrap()).err().unwrap();
    assert_eq!(
        (&*problem.code, problem.status),
        ("object_store_settings", 400)
    );
    assert!(problem.detail.contains("SecretAccessKey"), "{problem}");

    // Without any, the machine itself is asked; here nobody answers there.
    let variables = [("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")];
    let none = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let none = ArchivePlace::parse_with("s3://bucket/a.tar", none).unwrap();
    let problem = download(&none).err().unwrap();
    assert_eq!(problem.code, "no_object_store_credentials", "{problem}");
    assert!(problem.help.contains("AWS_SECRET_ACCESS_KEY"));
}

#[test]
fn a_store_that_does_not_answer_is_given_up() {
    let begun = Instant::now();
    let store = Store::start();
    store.inside().hang = true;
    let closed = [("AWS_ENDPOINT_URL", "http://127.0.0.1:1")];
    let short = [("AWS_TIMEOUT", "300ms")];
    for more in [&closed, &short] {
        let place = store.place_with("s3://bucket/a.tar", more);
        let down = download(&place).err().unwrap();
        let up = upload(&place, 0, write_bytes(MIB)).unwrap_err();
        for problem in [down, up] {
            assert_eq!(problem.code, "object_store_unreachable", "{problem}");
            assert!(problem.retry);
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(120));
}

#[test]
fn plain_http_is_only_spoken_where_it_is_allowed() {
    let store = Store::start();
    let place = store.place_with("s3://bucket/a.tar", &[("AWS_ALLOW_HTTP", "false")]);
    download(&place).err().unwrap();
    assert!(store.inside().requests.is_empty());
}

/// Against a store that is not ours: `CENTO_TEST_S3` names a bucket or prefix
/// in it, and the usual variables say how to reach it.
#[test]
fn a_real_store_keeps_an_archive() {
    let Ok(place) = std::env::var("CENTO_TEST_S3") else {
        return eprintln!("SKIPPED: CENTO_TEST_S3 names no bucket of a real store");
    };
    let place = ArchivePlace::parse(&place).unwrap();
    for bytes in [10_000, 70 * MIB] {
        let dir = snapshot(bytes);
        let there = send(&dir, &place).unwrap();
        fetch(&dir, &there).unwrap();
    }
    let missing = download(&place.or_below("no-such.tar")).err().unwrap();
    assert_eq!(missing.code, "archive_not_found", "{missing}");
}
