//! Where can an archive be kept, and how is that written?

use std::fmt;
use std::path::{Path, PathBuf};

use cento_index::archive::ArchiveAbout;

use crate::Problem;

/// A place for an archive: a file, a folder for files, an object in a bucket,
/// or a prefix for objects.
///
/// It is written as a path, as `file:///path`, or as `s3://bucket/key`. A path
/// is a folder if there is one, or if it ends in `/`. A key that ends in
/// `.tar` is an object; any other is a prefix.
#[derive(Clone, PartialEq, Eq)]
pub struct ArchivePlace {
    pub(crate) kind: Kind,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File(PathBuf),
    Folder(PathBuf),
    #[cfg(feature = "s3")]
    Object(Object),
}

/// A key in a bucket, and how the store that holds it is reached.
#[cfg(feature = "s3")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) bucket: String,
    /// Without a `/` at either end; may be empty if it is a prefix.
    pub(crate) key: String,
    pub(crate) prefix: bool,
    /// `AWS_…` variables. They hold secrets: they are never shown.
    pub(crate) settings: Vec<(String, String)>,
}

impl ArchivePlace {
    /// Reads a place. How a store is reached is taken from the usual `AWS_…`
    /// variables of the environment.
    ///
    /// # Errors
    ///
    /// `invalid_place`; `no_object_storage` in a program built without it.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let unicode = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self::parse_with(text, unicode)
    }

    /// Reads a place, with these variables instead of the environment's.
    ///
    /// # Errors
    ///
    /// As [`ArchivePlace::parse`].
    pub fn parse_with(
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Problem> {
        let kind = match text.split_once("://") {
            Some(("s3", rest)) => object(text, rest, variables)?,
            Some(("file", rest)) => {
                let path = rest.strip_prefix("localhost").unwrap_or(rest);
                if !path.starts_with('/') {
                    return Err(invalid(
                        text,
                        "a file URL has an absolute path: file:///path",
                    ));
                }
                let path = unescape(path).ok_or_else(|| {
                    invalid(
                        text,
                        "after % stand two hexadecimal digits, and the whole is UTF-8",
                    )
                })?;
                file_or_folder(text, &path)?
            }
            // `a/b://c` is an odd path, `gs://c` another kind of store.
            Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                return Err(invalid(text, "only paths, file:// and s3:// are known"));
            }
            _ => file_or_folder(text, text)?,
        };
        Ok(Self { kind })
    }

    /// Whether archives are kept below it, under names of their own.
    pub fn is_folder(&self) -> bool {
        match &self.kind {
            Kind::File(_) => false,
            Kind::Folder(_) => true,
            #[cfg(feature = "s3")]
            Kind::Object(object) => object.prefix,
        }
    }

    /// Where an archive of this name is: below a folder or prefix, or the
    /// place itself.
    #[must_use]
    pub fn or_below(&self, name: &str) -> Self {
        let kind = match &self.kind {
            Kind::File(path) => Kind::File(path.clone()),
            Kind::Folder(path) => Kind::File(path.join(name)),
            #[cfg(feature = "s3")]
            Kind::Object(object) if object.prefix => {
                let mut object = object.clone();
                if !object.key.is_empty() {
                    object.key.push('/');
                }
                object.key.push_str(name);
                object.prefix = false;
                Kind::Object(object)
            }
            #[cfg(feature = "s3")]
            Kind::Object(object) => Kind::Object(object.clone()),
        };
        Self { kind }
    }
}

/// The name that an archive has below a folder: `handbook-42.cento.tar`.
pub fn archive_name(about: &ArchiveAbout) -> String {
    format!("{}-{}.cento.tar", about.collection, about.snapshot)
}

impl fmt::Display for ArchivePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::File(path) | Kind::Folder(path) => write!(f, "{}", path.display()),
            #[cfg(feature = "s3")]
            Kind::Object(Object { bucket, key, .. }) => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

/// As it is written: without the settings, which hold secrets.
impl fmt::Debug for ArchivePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArchivePlace({self})")
    }
}

fn file_or_folder(text: &str, path: &str) -> Result<Kind, Problem> {
    if path.is_empty() || path.contains('\0') {
        return Err(invalid(text, "it is no path"));
    }
    let folder = path.ends_with('/') || Path::new(path).is_dir();
    let path = PathBuf::from(path);
    if folder {
        return Ok(Kind::Folder(path));
    }
    match path.file_name() {
        Some(_) => Ok(Kind::File(path)),
        None => Err(invalid(text, "it names no file")),
    }
}

#[cfg(feature = "s3")]
fn object(
    text: &str,
    rest: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Kind, Problem> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let in_bucket = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if bucket.is_empty() || !bucket.chars().all(in_bucket) {
        return Err(invalid(text, "behind s3:// stands the name of a bucket"));
    }
    let prefix = !key.ends_with(".tar");
    let key = key.strip_suffix('/').unwrap_or(key);
    let odd = |name: &str| matches!(name, "" | "." | "..") || name.contains(char::is_control);
    if !key.is_empty() && key.split('/').any(odd) {
        return Err(invalid(
            text,
            "a key has no empty names, no '.' and no '..'",
        ));
    }
    Ok(Kind::Object(Object {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        prefix,
        settings: variables
            .into_iter()
            // Set to nothing is how a shell takes a variable away.
            .filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty())
            .collect(),
    }))
}

#[cfg(not(feature = "s3"))]
fn object(
    text: &str,
    _: &str,
    _: impl IntoIterator<Item = (String, String)>,
) -> Result<Kind, Problem> {
    let detail = format!("{text}: this cento was built without the feature `s3`");
    Err(Problem::new("no_object_storage", 501, detail)
        .with_help("use a file, or a cento built with its default features"))
}

fn invalid(text: &str, why: &str) -> Problem {
    let text = text.escape_debug();
    Problem::new(
        "invalid_place",
        400,
        format!("'{text}' is no place for an archive: {why}"),
    )
}

/// Undoes the escapes of a URL.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<ArchivePlace, Problem> {
        ArchivePlace::parse_with(text, [])
    }

    #[test]
    fn a_path_and_its_url_are_one_place() {
        let path = place("/no/such/a b.tar").unwrap();
        assert!(!path.is_folder());
        for url in [
            "file:///no/such/a%20b.tar",
            "file://localhost/no/such/a b.tar",
        ] {
            assert_eq!(place(url).unwrap(), path);
        }
    }

    #[test]
    fn a_folder_is_one_that_is_there_or_ends_in_a_slash() {
        let there = tempfile::tempdir().unwrap();
        let path = there.path().display().to_string();
        for text in [path.as_str(), "no/such/folder/"] {
            let folder = place(text).unwrap();
            assert!(folder.is_folder());
            let below = folder.or_below("x.tar");
            assert!(!below.is_folder());
            assert!(below.to_string().ends_with("/x.tar"), "{below}");
        }
        let file = place("no/such/file").unwrap();
        assert_eq!(file.or_below("x.tar"), file);
    }

    #[test]
    fn what_is_no_place_is_told_why() {
        for text in [
            "",
            "no/such/..",
            "a\0b",
            "gs://bucket/key",
            "http://host/x",
            "file://host/x",
            "file:///%zz",
            "file:///%+1",
            "file:///%ff",
            "file:///%2",
        ] {
            let problem = place(text).unwrap_err();
            assert_eq!(
                (&*problem.code, problem.status),
                ("invalid_place", 400),
                "{text}"
            );
        }
    }

    #[cfg(not(feature = "s3"))]
    #[test]
    fn without_the_feature_its_name_is_told() {
        let problem = place("s3://bucket/x.tar").unwrap_err();
        assert_eq!(problem.code, "no_object_storage");
        assert!(problem.detail.contains("feature `s3`"), "{problem}");
    }

    #[cfg(feature = "s3")]
    #[test]
    fn a_key_is_an_object_if_it_ends_as_archives_do() {
        let object = place("s3://bucket/a/b.tar").unwrap();
        assert!(!object.is_folder());
        assert_eq!(object.or_below("x.tar"), object);
        for (text, below) in [
            ("s3://bucket", "s3://bucket/x.tar"),
            ("s3://bucket/", "s3://bucket/x.tar"),
            ("s3://bucket/a/b", "s3://bucket/a/b/x.tar"),
            ("s3://bucket/a/b/", "s3://bucket/a/b/x.tar"),
        ] {
            let prefix = place(text).unwrap();
            assert!(prefix.is_folder(), "{text}");
            assert_eq!(prefix.or_below("x.tar").to_string(), below);
        }
        for text in [
            "s3://",
            "s3:///x",
            "s3://b c/x",
            "s3://b/a//b",
            "s3://b/../c",
            "s3://b/\n",
        ] {
            assert_eq!(place(text).unwrap_err().code, "invalid_place", "{text}");
        }
    }

    #[cfg(feature = "s3")]
    #[test]
    fn secrets_are_never_shown() {
        let secret = ("AWS_SECRET_ACCESS_KEY".to_owned(), "hunter2".to_owned());
        let place = ArchivePlace::parse_with("s3://bucket/x.tar", [secret]).unwrap();
        assert!(!format!("{place:?} {place}").contains("hunter2"));
    }
}
