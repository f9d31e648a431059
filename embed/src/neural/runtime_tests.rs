//! Is the right library found, and is every wrong one refused by name?
//!
//! Nothing here loads a library that would do: what is loaded stays for the life of
//! the process. Other tests load one, and after that any is taken; so what is to be
//! refused is offered in a process of its own.

use std::process::Command;

use tempfile::TempDir;

use super::*;

/// Set for a process that runs one test alone.
const ALONE: &str = "CENTO_TEST_ALONE";

/// Runs a test of this module in a process in which no other has run.
fn alone(test: &str, body: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return body();
    }
    let name = format!("{}::{test}", module_path!());
    let name = name.split_once("::").expect("a crate").1;
    let told = Command::new(env::current_exe().expect("known"))
        .args(["--exact", name])
        .env(ALONE, "1")
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&told.stdout);
    let stderr = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{said}{stderr}");
    assert!(said.contains("1 passed"), "no test is called {name}");
}

/// A folder with these files, each with some content.
fn place(files: &[(&str, &str)]) -> TempDir {
    let place = TempDir::new().expect("a folder");
    for (name, content) in files {
        let path = place.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }
    place
}

fn named(path: impl Into<PathBuf>) -> Surroundings {
    Surroundings {
        named: Some(path.into()),
        ..Surroundings::default()
    }
}

fn error(surroundings: &Surroundings) -> EmbedError {
    match load_library(surroundings) {
        Err(error) => error,
        Ok(_) => panic!("something was loaded"),
    }
}

#[test]
fn the_version_asked_for_is_the_one_that_the_bindings_need() {
    assert_eq!(NEEDED_NUMBERS, (1, u64::from(ort::MINOR_VERSION)));
    assert_eq!(NEEDED, format!("1.{}", ort::MINOR_VERSION));
}

#[test]
fn where_there_is_no_library_every_place_is_named() {
    let place = place(&[("lib/python3.11/site-packages/x.py", "")]);
    let surroundings = Surroundings {
        folders: vec![place.path().join("a"), place.path().join("b")],
        pythons: vec![place.path().to_path_buf()],
        ..Surroundings::default()
    };
    let EmbedError::RuntimeMissing { looked_in } = error(&surroundings) else {
        panic!("another error");
    };
    let packages = place.path().join("lib/python3.11/site-packages");
    let expected = [
        place.path().join("a"),
        place.path().join("b"),
        packages.join("onnxruntime/capi"),
    ];
    assert_eq!(looked_in, expected);
}

#[test]
fn a_library_that_is_named_and_not_there_is_not_replaced_by_another() {
    let place = place(&[("libonnxruntime.so.1.31.0", "")]);
    let surroundings = Surroundings {
        folders: vec![place.path().to_path_buf()],
        ..named(place.path().join("typo.so"))
    };
    let error = error(&surroundings);
    assert!(
        matches!(error, EmbedError::RuntimeMissing { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("typo.so"), "{error}");
}

#[test]
fn what_is_no_library_is_told_with_the_loaders_words() {
    alone("what_is_no_library_is_told_with_the_loaders_words", || {
        let place = place(&[("mine.so", "no library")]);
        for path in [
            place.path().join("mine.so"),
            "no-such-library-anywhere.so".into(),
        ] {
            let error = error(&named(&path));
            assert!(
                matches!(error, EmbedError::RuntimeUnusable { .. }),
                "{error:?}"
            );
            assert!(error.to_string().contains(".so"), "{error}");
        }
    });
}

/// Names and places of libraries are Linux's here.
#[cfg(target_os = "linux")]
mod linux {
    use super::*;

    const CAPI: &str = "lib/python3.12/site-packages/onnxruntime/capi";

    fn python(version: &str) -> TempDir {
        place(&[(&format!("{CAPI}/libonnxruntime.so.{version}"), "")])
    }

    #[test]
    fn an_old_library_is_refused_by_the_version_in_its_name() {
        alone(
            "linux::an_old_library_is_refused_by_the_version_in_its_name",
            || {
                for (version, too_old) in [
                    ("1.20.1", true),
                    ("1.9.0", true),
                    ("1.23.2", true),
                    ("1.24.0", false),
                    ("2.0.0", false),
                ] {
                    let python = python(version);
                    let surroundings = Surroundings {
                        pythons: vec![python.path().to_path_buf()],
                        ..Surroundings::default()
                    };
                    // The new ones are empty files, so that they cannot be loaded.
                    match error(&surroundings) {
                        EmbedError::RuntimeTooOld { found, needed, .. } => {
                            assert!(too_old, "{version}");
                            assert_eq!((&found[..], needed), (version, "1.24"));
                        }
                        EmbedError::RuntimeUnusable { .. } => assert!(!too_old, "{version}"),
                        error => panic!("{error:?}"),
                    }
                }
            },
        );
    }

    #[test]
    fn the_version_of_a_library_is_told_by_its_link_or_its_package() {
        let place = place(&[
            ("libonnxruntime.so.1.25.3", ""),
            (
                "onnxruntime/__init__.py",
                "import x\n__version__ = \"1.19.2\"\n",
            ),
            ("onnxruntime/capi/libonnxruntime.so", ""),
            ("alone/libonnxruntime.so.1", ""),
        ]);
        let link = place.path().join("libonnxruntime.so");
        std::os::unix::fs::symlink("libonnxruntime.so.1.25.3", &link).expect("linked");
        let told = |path: &str| version(&place.path().join(path));
        assert_eq!(told("libonnxruntime.so").as_deref(), Some("1.25.3"));
        assert_eq!(
            told("onnxruntime/capi/libonnxruntime.so").as_deref(),
            Some("1.19.2")
        );
        assert_eq!(told("alone/libonnxruntime.so.1"), None);
        assert_eq!(told("absent"), None);
    }

    #[test]
    fn the_first_place_comes_first_and_in_it_the_newest_library() {
        let (beside, old, new) = (
            place(&[
                ("libonnxruntime.so.1.26.0", ""),
                ("libonnxruntime.so.1.30.0", ""),
                ("libonnxruntime_providers_shared.so", ""),
            ]),
            python("1.20.0"),
            python("1.31.0"),
        );
        let surroundings = Surroundings {
            named: None,
            folders: vec![beside.path().to_path_buf()],
            pythons: [&old, &new]
                .map(|place| place.path().to_path_buf())
                .to_vec(),
        };
        let search = Search::of(&surroundings);
        let expected = [
            beside.path().join("libonnxruntime.so.1.30.0"),
            beside.path().join("libonnxruntime.so.1.26.0"),
            new.path().join(CAPI).join("libonnxruntime.so.1.31.0"),
        ];
        assert_eq!(search.candidates, expected);
        assert_eq!(search.too_old.len(), 1);
    }

    #[test]
    fn a_folder_may_be_named_instead_of_the_library() {
        let python = python("1.20.0");
        let error = error(&named(python.path().join(CAPI)));
        assert!(
            matches!(error, EmbedError::RuntimeTooOld { .. }),
            "{error:?}"
        );
    }

    #[test]
    fn a_new_enough_library_that_cannot_be_loaded_is_told_before_older_ones() {
        alone(
            "linux::a_new_enough_library_that_cannot_be_loaded_is_told_before_older_ones",
            || {
                let (new, old) = (python("1.31.0"), python("1.20.0"));
                let surroundings = Surroundings {
                    pythons: [&new, &old]
                        .map(|place| place.path().to_path_buf())
                        .to_vec(),
                    ..Surroundings::default()
                };
                let error = error(&surroundings);
                assert!(
                    matches!(error, EmbedError::RuntimeUnusable { .. }),
                    "{error:?}"
                );
            },
        );
    }
}
