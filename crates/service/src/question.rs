//! A question in SQL as it comes over HTTP and as it is asked of a folder.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A query as text, or a named one with its parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The query as text.
    #[serde(default)]
    pub sql: Option<String>,
    /// The name of a query instead.
    #[serde(default)]
    pub query: Option<String>,
    /// Parameters of the named query.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}
