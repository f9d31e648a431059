//! What can be asked for to keep collections safe and small?

use std::str::FromStr;
use std::time::Duration;

use cento_embed::EmbeddingCache;
use cento_index::{GraphBuilder, Projection, Residence, StoreOptions, VectorOptions, Verify};
use cento_ingest::Chunking;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use super::OneCollection;

/// How much is verified before a collection is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyArg {
    Quick,
    Full,
}

impl From<VerifyArg> for Verify {
    fn from(how: VerifyArg) -> Self {
        match how {
            VerifyArg::Quick => Self::Quick,
            VerifyArg::Full => Self::Full,
        }
    }
}

/// When a log is compacted without being asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CompactAt(pub(crate) Option<f64>);

impl FromStr for CompactAt {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        if written == "off" {
            return Ok(Self(None));
        }
        match written.parse() {
            Ok(share) if (0.0..=1.0).contains(&share) && share > 0.0 => Ok(Self(Some(share))),
            _ => Err("give a share above 0 and up to 1, such as 0.5, or off".to_owned()),
        }
    }
}

/// How the engine works, whoever opens the data directory: what a server was told
/// to keep must not be dropped by the next command. Short help leaves it out.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Engine")]
pub(crate) struct EngineArgs {
    /// A segment of the log is closed when it has grown past this.
    #[arg(long, global = true, hide_short_help = true, env = "CENTO_SEGMENT_MB", default_value_t = 128, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub(crate) segment_mb: u64,

    /// How long a commit may wait for others to share its sync.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "CENTO_COMMIT_DELAY_US",
        default_value_t = 0,
        value_name = "MICROSECONDS"
    )]
    pub(crate) commit_delay_us: u64,

    /// How many writers may share one sync.
    #[arg(long, global = true, hide_short_help = true, env = "CENTO_COMMIT_BATCH", default_value_t = 1024, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) commit_batch: u32,

    /// How many collections stay open.
    #[arg(long, global = true, hide_short_help = true, env = "CENTO_OPEN_COLLECTIONS", default_value_t = 64, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) open_collections: u32,

    /// The catalog's cache, for each open collection.
    #[arg(long, global = true, hide_short_help = true, env = "CENTO_CATALOG_CACHE_MB", default_value_t = 64, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) catalog_cache_mb: u64,

    /// Memory of each thread that indexes words, for each open collection.
    #[arg(long, global = true, hide_short_help = true, env = "CENTO_TEXT_ARENA_MB", default_value_t = 48, value_name = "MB", value_parser = clap::value_parser!(u32).range(15..=4000))]
    pub(crate) text_arena_mb: u32,

    /// Vectors that neural and remote models have made are kept, so that no text
    /// is embedded twice; 0 keeps none.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "CENTO_EMBEDDING_CACHE_MB",
        default_value_t = EmbeddingCache::DEFAULT_BYTES >> 20,
        value_name = "MB",
        value_parser = clap::value_parser!(u64).range(..=1 << 30)
    )]
    pub(crate) embedding_cache_mb: u64,

    /// How many generations that have served are kept for a rollback.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "CENTO_FORMER_GENERATIONS",
        default_value_t = 1,
        value_name = "COUNT"
    )]
    pub(crate) former_generations: u32,

    /// So many vectors are compared one by one before a graph is built of them.
    #[arg(long, global = true, hide_short_help = true, env = "CENTO_SEAL_ROWS", default_value_t = 4096, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seal_rows: u32,

    /// Which program builds graphs of vectors.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "CENTO_GRAPH_BUILDER",
        default_value = "own",
        value_name = "NAME"
    )]
    pub(crate) graph_builder: Builder,

    /// Leave vectors in their files, to be read when they are needed, instead of
    /// keeping their codes and links in memory.
    #[arg(long, global = true, hide_short_help = true, env = "CENTO_MAP_VECTORS")]
    pub(crate) map_vectors: bool,
}

/// A program that builds graphs of vectors.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Builder {
    /// This project's own
    Own,
    /// The package hnsw_rs
    #[value(name = "hnsw_rs")]
    HnswRs,
}

impl EngineArgs {
    /// As the engine has them.
    pub(crate) fn options(&self, verify: Verify) -> StoreOptions {
        StoreOptions {
            segment_bytes: self.segment_mb << 20,
            commit_delay: Duration::from_micros(self.commit_delay_us),
            commit_requests: self.commit_batch as usize,
            catalog_cache_bytes: self.catalog_cache_mb << 20,
            text_arena_bytes: (self.text_arena_mb as usize) << 20,
            open_collections: self.open_collections as usize,
            verify,
            former_generations: self.former_generations as usize,
            vectors: VectorOptions {
                seal_rows: self.seal_rows as usize,
                builder: match self.graph_builder {
                    Builder::Own => GraphBuilder::Own,
                    Builder::HnswRs => GraphBuilder::HnswRs,
                },
                residence: if self.map_vectors {
                    Residence::Mapped
                } else {
                    Residence::Memory
                },
                ..VectorOptions::default()
            },
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RebuildArgs {
    /// The collection; all of them if none is named.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) collection: Option<String>,

    /// Make only this one anew: catalog, text or vectors.
    #[arg(long, value_name = "PROJECTION", value_parser = projection)]
    pub(crate) only: Option<Projection>,
}

fn projection(written: &str) -> Result<Projection, String> {
    let found = Projection::ALL
        .into_iter()
        .find(|one| one.name() == written);
    found.ok_or_else(|| "there is: catalog, text, vectors".to_owned())
}

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Keep this moment of a collection.
    Create {
        /// Its name; after the time and the last write if none is given.
        #[arg(value_name = "ID")]
        id: Option<String>,
        #[command(flatten)]
        collection: OneCollection,
    },
    /// Name a collection's snapshots.
    List {
        #[command(flatten)]
        collection: OneCollection,
    },
    /// Go back to a snapshot: what was written since is gone.
    Restore {
        /// Which one.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        collection: OneCollection,
    },
    /// Delete a snapshot. Its space returns with the next compaction.
    Delete {
        /// Which one.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        collection: OneCollection,
    },
    /// Write a snapshot to a file or a bucket, as one archive.
    ///
    /// A bucket is reached as the usual AWS_… variables say.
    Export {
        /// Which one; the newest if none is named.
        #[arg(value_name = "ID")]
        id: Option<String>,
        #[command(flatten)]
        collection: OneCollection,
        /// A file, a folder, s3://BUCKET/KEY.tar or s3://BUCKET/PREFIX/.
        #[arg(long, value_name = "PLACE")]
        to: String,
    },
    /// Make a collection from an archive.
    Import {
        #[command(flatten)]
        collection: OneCollection,
        /// A file, or s3://BUCKET/KEY.tar.
        #[arg(long, value_name = "PLACE")]
        from: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReindexArgs {
    #[command(flatten)]
    pub(crate) collection: OneCollection,

    /// The model; as it is unless given.
    #[arg(long, value_name = "NAME|DIR|URL#MODEL")]
    pub(crate) embedder: Option<String>,

    /// How documents are cut: default, or none; as it is unless given.
    #[arg(long, value_name = "NAME")]
    pub(crate) chunking: Option<Chunking>,

    /// Say what it will cost, and no more.
    #[arg(long)]
    pub(crate) estimate: bool,

    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Do it even if nothing changes.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GenerationCommand {
    /// Name a collection's configurations.
    List {
        #[command(flatten)]
        collection: OneCollection,
    },
    /// Go back to a former one, with what came in since.
    Rollback {
        /// Which one; the one that served last if none is given.
        #[arg(value_name = "NUMBER")]
        number: Option<u32>,
        #[command(flatten)]
        collection: OneCollection,
    },
    /// Give up a former or a half-built one.
    Drop {
        /// Which one.
        #[arg(value_name = "NUMBER")]
        number: u32,
        #[command(flatten)]
        collection: OneCollection,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PurgeArgs {
    #[command(flatten)]
    pub(crate) collection: OneCollection,

    /// Delete the collection's snapshots, too: each is kept whole or not at all.
    #[arg(long)]
    pub(crate) snapshots: bool,
}
