//! What is known of a model that its own files do not say?
//!
//! An export to ONNX often leaves sentence-transformers' files behind, and with
//! them how a text is cut off, pooled and prefixed. Where, and only where, no
//! file says it, the name that `config.json` records (`_name_or_path`) is looked
//! up here. Each row repeats the model's own published files or card.

use crate::Standout;

/// What a family of models wants.
#[derive(Debug, PartialEq)]
pub(crate) struct Known {
    /// Part of the recorded name, in lower case.
    name: &'static str,
    /// The most tokens, special ones included.
    pub(crate) max_tokens: Option<usize>,
    /// Whether the first token's vector is the text's.
    pub(crate) cls: bool,
    /// In front of a query.
    pub(crate) query_prefix: &'static str,
    /// In front of a document.
    pub(crate) document_prefix: &'static str,
    /// How to tell whether the model knows what it is asked about, where it was
    /// measured (decision 0024).
    pub(crate) standout: Option<Standout>,
}

const MEAN: Known = Known {
    name: "",
    max_tokens: None,
    cls: false,
    query_prefix: "",
    document_prefix: "",
    standout: None,
};

/// Tuned on the sets kept for that, in English and in letters that the model does not
/// know (decision 0024).
const ALL_MINILM_L6: Standout = Standout {
    at: 0.4,
    weight: 1.4,
};

const CLS: Known = Known { cls: true, ..MEAN };

const REPRESENT: &str = "Represent this sentence for searching relevant passages: ";

/// Rows in the order in which they are tried. The later ones, of which a
/// recorded name is only the base, hold for that base's best known child:
/// `nreimers/MiniLM-L6-H384-uncased` is what all-MiniLM-L6-v2 records.
const TABLE: [Known; 22] = [
    Known {
        name: "paraphrase-multilingual-minilm",
        max_tokens: Some(128),
        ..MEAN
    },
    Known {
        name: "paraphrase-multilingual-mpnet",
        max_tokens: Some(128),
        ..MEAN
    },
    Known {
        name: "multi-qa-minilm",
        max_tokens: Some(512),
        ..MEAN
    },
    Known {
        name: "all-minilm-l6",
        max_tokens: Some(256),
        standout: Some(ALL_MINILM_L6),
        ..MEAN
    },
    Known {
        name: "all-minilm-l12",
        max_tokens: Some(128),
        ..MEAN
    },
    Known {
        name: "all-mpnet-base",
        max_tokens: Some(384),
        ..MEAN
    },
    Known {
        name: "bge-m3",
        ..CLS
    },
    Known {
        name: "bge-small-en",
        query_prefix: REPRESENT,
        ..CLS
    },
    Known {
        name: "bge-base-en",
        query_prefix: REPRESENT,
        ..CLS
    },
    Known {
        name: "bge-large-en",
        query_prefix: REPRESENT,
        ..CLS
    },
    Known {
        name: "bge-",
        ..CLS
    },
    Known {
        name: "mxbai-embed-large",
        query_prefix: REPRESENT,
        ..CLS
    },
    Known {
        name: "arctic-embed-l-v2",
        query_prefix: "query: ",
        ..CLS
    },
    Known {
        name: "arctic-embed-m-v2",
        query_prefix: "query: ",
        ..CLS
    },
    Known {
        name: "arctic-embed",
        query_prefix: REPRESENT,
        ..CLS
    },
    Known {
        name: "gte-base-en-v1.5",
        ..CLS
    },
    Known {
        name: "gte-large-en-v1.5",
        ..CLS
    },
    Known {
        name: "multilingual-e5",
        query_prefix: "query: ",
        document_prefix: "passage: ",
        ..MEAN
    },
    Known {
        name: "nomic-embed-text",
        query_prefix: "search_query: ",
        document_prefix: "search_document: ",
        ..MEAN
    },
    Known {
        name: "minilm-l6-h384-uncased",
        max_tokens: Some(256),
        standout: Some(ALL_MINILM_L6),
        ..MEAN
    },
    Known {
        name: "minilm-l12-h384-uncased",
        max_tokens: Some(128),
        ..MEAN
    },
    Known {
        name: "microsoft/mpnet-base",
        max_tokens: Some(384),
        ..MEAN
    },
];

/// The row of a recorded name.
pub(crate) fn known(recorded: &str) -> Option<&'static Known> {
    let recorded = recorded.to_lowercase();
    TABLE.iter().find(|row| recorded.contains(row.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_name_finds_its_own_row_before_its_base() {
        let max = |name| known(name).and_then(|row| row.max_tokens);
        assert_eq!(max("sentence-transformers/all-MiniLM-L6-v2"), Some(256));
        assert_eq!(max("nreimers/MiniLM-L6-H384-uncased"), Some(256));
        assert_eq!(max("microsoft/MiniLM-L12-H384-uncased"), Some(128));
        assert_eq!(
            max("sentence-transformers/multi-qa-MiniLM-L6-cos-v1"),
            Some(512)
        );
        assert_eq!(known("my/own-model"), None);
        assert_eq!(known(""), None);
    }

    #[test]
    fn every_row_can_be_reached() {
        for row in &TABLE {
            assert_eq!(known(row.name), Some(row), "{} is shadowed", row.name);
        }
    }
}
