//! Code generated from proto/ (no protoc needed).
