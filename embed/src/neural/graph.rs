//! Can a graph embed a text, and which of its outputs is the vector?

use fastembed::Pooling as FastembedPooling;

use super::onnx_outline::{FLOAT, Outline, Value};
use super::settings::{Pooling, Settings};

/// How a graph is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Graph {
    /// The number of the output that is taken.
    pub(crate) output: usize,
    /// How its tokens are pooled; without meaning if the graph does it.
    pub(crate) pooling: FastembedPooling,
    /// The same in one word, `graph` if the graph does it.
    pub(crate) pooling_name: &'static str,
    /// Whether a batch must hold one text.
    pub(crate) one_at_a_time: bool,
    /// The one length that it takes, if it takes no other.
    pub(crate) fixed_length: Option<usize>,
}

/// Outputs that are a text's vector.
const VECTORS: [&str; 6] = [
    "sentence_embedding",
    "sentence_embeddings",
    "text_embeds",
    "text_embeddings",
    "embeddings",
    "dense_vecs",
];

/// Outputs that are a vector for each token.
const TOKENS: [&str; 3] = ["last_hidden_state", "token_embeddings", "hidden_states"];

/// What fastembed can give to a graph.
const INPUTS: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

/// What a model is made for that ends in scores of classes or of words.
const SCORERS: [&str; 5] = [
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMaskedLM",
    "ForCausalLM",
];

/// The output of a model that ends in scores.
pub(crate) const LOGITS: &str = "logits";

/// What a graph of a text model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inputs {
    /// Whether a batch must hold one text.
    pub(crate) one_at_a_time: bool,
    /// The one length that it takes, if it takes no other.
    pub(crate) fixed_length: Option<usize>,
}

impl Inputs {
    /// What the graph of an outline takes; the error says why it cannot be given.
    pub(crate) fn of(outline: &Outline) -> Result<Self, String> {
        let has = |name: &str| outline.inputs.iter().find(|input| input.name == name);
        if let Some(other) = outline
            .inputs
            .iter()
            .find(|input| !INPUTS.contains(&&input.name[..]))
        {
            return Err(format!(
                "it wants the input '{}'; a text model wants input_ids and attention_mask, and may want token_type_ids",
                other.name
            ));
        }
        let (Some(ids), Some(_)) = (has("input_ids"), has("attention_mask")) else {
            return Err("it does not take both input_ids and attention_mask".to_owned());
        };
        let size = |dimension: usize| {
            let shape = ids.shape.as_ref();
            shape.and_then(|shape| shape.get(dimension).copied().flatten())
        };
        if let Some(texts) = size(0).filter(|&texts| texts > 1) {
            return Err(format!("it takes exactly {texts} texts at a time"));
        }
        Ok(Self {
            one_at_a_time: outline.depends_on_batch || size(0) == Some(1),
            fixed_length: size(1).and_then(|length| usize::try_from(length).ok()),
        })
    }
}

impl Graph {
    /// How the graph of an outline is used; the error says why it cannot be.
    pub(crate) fn of(outline: &Outline, settings: &Settings) -> Result<Self, String> {
        let inputs = Inputs::of(outline)?;
        let (output, pooled) = choose(&outline.outputs, settings)?;
        let element = outline.outputs[output].element;
        if element.is_some_and(|element| element != FLOAT) {
            return Err(format!(
                "its output '{}' is not of float32; export it with outputs of float32",
                outline.outputs[output].name
            ));
        }
        let (pooling, pooling_name) = if pooled {
            (FastembedPooling::Mean, "graph")
        } else {
            if let [step, ..] = &settings.further_steps[..] {
                return Err(format!(
                    "modules.json has the step '{step}', which is not in the graph; export the whole model with an output 'sentence_embedding'"
                ));
            }
            match &settings.pooling {
                Pooling::Mean => (FastembedPooling::Mean, "mean"),
                Pooling::Cls => (FastembedPooling::Cls, "cls"),
                Pooling::Other(way) => {
                    return Err(format!(
                        "it pools by '{way}'; mean and cls are served, and graphs that pool themselves"
                    ));
                }
            }
        };
        Ok(Self {
            output,
            pooling,
            pooling_name,
            one_at_a_time: inputs.one_at_a_time,
            fixed_length: inputs.fixed_length,
        })
    }
}

/// The output to take, and whether it is a text's vector already.
fn choose(outputs: &[Value], settings: &Settings) -> Result<(usize, bool), String> {
    let named = |names: &[&str], rank: usize| {
        names.iter().find_map(|name| {
            outputs.iter().position(|output| {
                output.name == *name && output.rank().is_none_or(|found| found == rank)
            })
        })
    };
    if let Some(output) = named(&VECTORS, 2) {
        return Ok((output, true));
    }
    if let Some(output) = named(&TOKENS, 3) {
        return Ok((output, false));
    }
    let names: Vec<&str> = outputs.iter().map(|output| &output.name[..]).collect();
    let names = names.join(", ");
    let scorer = settings
        .architectures
        .iter()
        .find(|architecture| SCORERS.iter().any(|ending| architecture.ends_with(ending)));
    if let Some(scorer) = scorer {
        return Err(format!(
            "it is a {scorer}, and gives {names}: scores, not vectors"
        ));
    }
    if outputs.iter().any(|output| output.name.contains("logits")) {
        return Err(format!("it gives {names}: scores, not vectors"));
    }
    match outputs {
        [only] => match only.rank() {
            Some(2) => Ok((0, true)),
            Some(3) | None => Ok((0, false)),
            Some(rank) => Err(format!(
                "its output '{names}' has {rank} dimensions, not 2 or 3"
            )),
        },
        _ => Err(format!(
            "none of its outputs ({names}) is called last_hidden_state or sentence_embedding"
        )),
    }
}
