//! How fast is a model on this machine?

use std::process::ExitCode;
use std::time::{Duration, Instant};

use cento_embed::{Bundled, EmbedError, Embedder, local_bytes};
use serde::Serialize;

use super::Outcome;
use crate::args::ModelsBenchArgs;
use crate::commands::demo;
use crate::output;

/// So many tokens, as the bundled model counts them, has a passage, whichever model
/// is measured.
const TOKENS: usize = 128;

/// So many passages are embedded at once at first; a fast model gets more.
const AT_ONCE: usize = 16;

/// And never more than these, however fast it is.
const MOST_AT_ONCE: usize = 100_000;

/// A batch lasts about so long.
const BATCH: Duration = Duration::from_millis(500);

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    model: String,
    fingerprint: String,
    dimensions: usize,
    /// Of weights and tokenizer, if they are on this machine.
    bytes: Option<u64>,
    /// How long it takes to open.
    open_ms: f64,
    /// Passages of 128 tokens that become vectors in a second, adapting queries to them
    /// included where the model does that: the median of batches.
    passages_per_second: f64,
    batches: usize,
    /// How long fitting to as many passages as were embedded takes; absent if the model
    /// cannot be fitted.
    fit_ms: Option<f64>,
    /// How long a query of some words takes, fitted where the model can be.
    query_median_us: f64,
    query_p95_us: f64,
    queries: usize,
}

pub(super) fn run(args: &ModelsBenchArgs, json: bool) -> Outcome {
    let begun = Instant::now();
    let embedder = cento_embed::open(&args.model)?;
    let open_ms = ms(begun.elapsed());
    let texts: Vec<String> = demo::texts().collect();
    let passages = passages(&texts)?;
    let time = Duration::from_secs(args.seconds);
    let (per_second, batches, count) = embed(&*embedder, &passages, time)?;
    let all: Vec<String> = passages.iter().cycle().take(count).cloned().collect();
    let begun = Instant::now();
    let artefact = embedder.fit(&all);
    let fit = artefact.is_some().then(|| begun.elapsed());
    let embedder = match artefact {
        Some(artefact) => embedder.fitted(artefact)?,
        None => embedder,
    };
    let (query_median_us, query_p95_us, queries) = ask(&*embedder, &texts, time)?;
    let contract = embedder.contract();
    // As fitting took its share of the same passages.
    let fit_share = fit.map_or(0.0, |fit| fit.as_secs_f64() / count as f64);
    let measured = Measured {
        model: args.model.clone(),
        fingerprint: contract.fingerprint.clone(),
        dimensions: contract.dimensions,
        bytes: local_bytes(&args.model),
        open_ms,
        passages_per_second: 1.0 / (1.0 / per_second + fit_share),
        batches,
        fit_ms: fit.map(ms),
        query_median_us,
        query_p95_us,
        queries,
    };
    if json {
        output::json(&measured);
    } else {
        tell(&measured);
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(measured: &Measured) {
    output::line(format_args!("{}", measured.model));
    let size = measured
        .bytes
        .map_or(String::new(), |bytes| format!(", {}", output::bytes(bytes)));
    output::line(format_args!(
        "  {} dimensions{size}, opened in {:.0} ms",
        measured.dimensions, measured.open_ms
    ));
    output::line(format_args!(
        "  {:.0} passages of {TOKENS} tokens a second (median of {} batches)",
        measured.passages_per_second, measured.batches
    ));
    if let Some(fit) = measured.fit_ms {
        output::line(format_args!("  fitted to them in {fit:.0} ms"));
    }
    output::line(format_args!(
        "  a query: median {:.1} µs, p95 {:.1} µs of {}",
        measured.query_median_us, measured.query_p95_us, measured.queries
    ));
}

/// The handbook's texts, cut into passages of as many tokens.
fn passages(texts: &[String]) -> Result<Vec<String>, EmbedError> {
    let counter = Bundled::new()?;
    let (mut passages, mut passage, mut tokens) = (Vec::new(), String::new(), 0);
    for word in texts.iter().flat_map(|text| text.split_whitespace()) {
        passage.push_str(word);
        passage.push(' ');
        counter.tokens(word, |_| tokens += 1);
        if tokens >= TOKENS {
            passages.push(std::mem::take(&mut passage));
            tokens = 0;
        }
    }
    Ok(passages)
}

/// Passages a second, by how many batches, and how many passages these were.
fn embed(
    embedder: &dyn Embedder,
    passages: &[String],
    time: Duration,
) -> Result<(f64, usize, usize), EmbedError> {
    let mut endless = passages.iter().cycle().cloned();
    let mut size = AT_ONCE;
    let mut speeds = Vec::new();
    let mut count = 0;
    // The first one warms up, and says how many fill a batch.
    let mut begun = Instant::now();
    let mut is_first = true;
    while is_first || begun.elapsed() < time || speeds.is_empty() {
        let batch: Vec<String> = endless.by_ref().take(size).collect();
        let started = Instant::now();
        embedder.embed_documents(&batch)?;
        let speed = size as f64 / started.elapsed().as_secs_f64().max(1e-9);
        let is_short = started.elapsed() < BATCH / 4 && size < MOST_AT_ONCE;
        if is_first || is_short {
            size = ((speed * BATCH.as_secs_f64()) as usize).clamp(AT_ONCE, MOST_AT_ONCE);
            begun = if is_first { Instant::now() } else { begun };
            is_first = false;
            continue;
        }
        speeds.push(speed);
        count += size;
    }
    speeds.sort_by(f64::total_cmp);
    Ok((speeds[speeds.len() / 2], speeds.len(), count.min(20_000)))
}

/// Median and 95th percentile of a query in microseconds, and of how many.
fn ask(
    embedder: &dyn Embedder,
    texts: &[String],
    time: Duration,
) -> Result<(f64, f64, usize), EmbedError> {
    const MOST: usize = 2_000;
    let sentences = texts
        .iter()
        .flat_map(|text| text.split(['.', '?', '!', '\n']));
    let queries: Vec<&str> = sentences
        .map(str::trim)
        .filter(|sentence| (20..120).contains(&sentence.len()))
        .take(MOST)
        .collect();
    let mut taken = Vec::new();
    let begun = Instant::now();
    for query in queries {
        let started = Instant::now();
        embedder.embed_query(query)?;
        taken.push(started.elapsed().as_secs_f64() * 1e6);
        if begun.elapsed() > time {
            break;
        }
    }
    taken.sort_by(f64::total_cmp);
    let at = |share: usize| {
        taken
            .get(taken.len() * share / 100)
            .copied()
            .unwrap_or_default()
    };
    Ok((at(50), at(95), taken.len()))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
