//! The watch: laws, behaviour, documents.
