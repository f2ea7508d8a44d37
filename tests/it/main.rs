//! larder from outside: one binary, a folder a subject.

mod admin;
mod cache;
mod cached;
mod clients;
mod llm;
mod proxy;
mod rate_limit;
mod redis;
mod redis_support;
mod reqwest;
mod reqwest_retry;
mod retry;
mod spans;
mod support;
