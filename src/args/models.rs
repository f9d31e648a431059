//! What can be asked of `cento models`?

use cento_embed::Bundled;
use clap::{Args as ClapArgs, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Name the models on this machine, and those that collections were embedded with.
    List,
    /// Bring a model of a hub onto this machine, so that it can be used without a network.
    Pull {
        /// owner/name, owner/name@revision, or owner/name/path/to/model.onnx.
        #[arg(value_name = "NAME")]
        model: String,
    },
    /// Open models, see that what they say is sound, and that they are still those
    /// that collections were embedded with.
    ///
    /// Ends with exit code 3 if a model is not.
    Verify {
        /// Which ones; all that collections were embedded with if none is named.
        #[arg(value_name = "NAME|DIR|URL#MODEL")]
        models: Vec<String>,
    },
    /// Measure how fast a model is on this machine.
    Bench(ModelsBenchArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ModelsBenchArgs {
    /// The model.
    #[arg(value_name = "NAME|DIR|URL#MODEL", default_value = Bundled::NAME)]
    pub(crate) model: String,

    /// How long each of the measurements goes on, in seconds.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}
