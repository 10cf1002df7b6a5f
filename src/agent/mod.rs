//! The agent.

use crate::config::AgentConfig;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing left to do.
    Quiet,
    /// Something failed, with reasons.
    Failed(Vec<String>),
    /// A signal ended it.
    Stopped,
}

/// Runs the agent.
pub fn run(config: AgentConfig) -> anyhow::Result<Outcome> {
    anyhow::bail!("the agent for {} is not built yet", config.mesh)
}
